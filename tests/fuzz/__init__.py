"""Hostile records against everything that reads records; `python -m tests.fuzz`."""
