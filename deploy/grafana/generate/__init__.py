"""Makes the dashboards: ``python -m deploy.grafana.generate`` writes them, ``--check`` compares."""
