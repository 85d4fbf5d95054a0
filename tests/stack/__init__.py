"""A real Collector, a real Prometheus and a real Alertmanager as processes of this machine."""
