"""A real OpenTelemetry Collector and a real Prometheus as processes of this machine."""
