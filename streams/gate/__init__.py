"""Before a deployment: a candidate held against the champion on recorded traffic."""
