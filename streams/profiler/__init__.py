"""Stage 1: labels are joined to predictions and both are counted into mergeable profiles."""
