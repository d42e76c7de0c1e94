"""Files on the worker's own disk: a cache of the state that the changelog holds."""
