"""The stream engine: fetch a batch, call a pure Processor, commit outputs, state and positions as one."""
