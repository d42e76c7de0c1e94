"""What goes over the wire: topics, keys, headers and the type of every event."""
