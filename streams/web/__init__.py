"""What can be looked at: metrics and the status page."""
