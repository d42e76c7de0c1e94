"""The bodies of the commands, one file for each noun; `streams.cli` only parses."""
