"""Stage 3, pure: what crosses models: incidents, the rollback policy, its caps, verification."""
