"""Chaos: workers and broker are killed, frozen and restarted under load; an oracle counts what should come of it."""
