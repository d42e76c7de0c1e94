"""The flow: workers, their state and their outputs."""
