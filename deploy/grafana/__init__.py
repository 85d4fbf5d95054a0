"""Dashboards, how they are made, and how they come into Grafana."""
