"""The same processors over a recorded stream, no Kafka."""
