"""Draws dashboards as SVG: their own JSON, their own queries, a running Prometheus.

It is no Grafana: only what these boards use is drawn, near to how Grafana's dark theme looks, and
every picture says so.
"""
