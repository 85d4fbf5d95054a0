"""Metrics and logs. Knows nothing of Kafka clients."""
