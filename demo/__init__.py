"""A year of flights through Plumbline: a model is served, goes wrong on purpose, is caught and rolled back."""
