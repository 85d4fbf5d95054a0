"""The files that are shipped for Prometheus and Alertmanager, and what a drill changes of them.

Of the rules only times change, of the configurations only addresses and times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.stack.drills.shorten import Clock, shortened, shortened_duration

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROMETHEUS_DEPLOY = DEPLOY / "prometheus"
RULES = PROMETHEUS_DEPLOY / "rules"
ALERTMANAGER_CONFIG = PROMETHEUS_DEPLOY / "alertmanager.yml"
COLLECTOR_CONFIG = DEPLOY / "otel-collector" / "config.yaml"
BROKER_CONFIG = DEPLOY / "kafka" / "jmx-exporter.yml"
# What the configuration of Prometheus takes from its environment.
LINKS = {"GRAFANA_URL": "http://grafana.example", "RUNBOOKS_URL": "docs/runbooks"}

# A window holds some scrapes, which are a second apart: with the factor alone a rate over a minute
# would be one over a second, which holds one sample and has no value.
CLOCK = Clock(factor=60.0, window=4.0, step=1.0)
SCRAPE_SECONDS = 1.0
# A scrape costs a broker a fifth of a second of work.
SCRAPE_BROKER_SECONDS = 2.0


def rule_files() -> list[Path]:
    """Return the shipped rules."""
    return sorted(RULES.glob("*.yml"))


def alert_rules() -> list[dict[str, Any]]:
    """Return all alerting rules as they are shipped, in their order."""
    files = (yaml.safe_load(file.read_text()) for file in rule_files())
    groups = (group for file in files for group in file["groups"])
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def short_rules(folder: Path, clock: Clock = CLOCK) -> list[Path]:
    """Write the rules on a faster clock into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file in rule_files():
        short = folder / file.name
        short.write_text(json.dumps(shortened(yaml.safe_load(file.read_text()), clock), indent=1))
        written.append(short)
    return written


def prometheus_config(
    rules: Sequence[Path], targets: Mapping[str, Sequence[str]], alertmanager: str
) -> dict[str, Any]:
    """Return the shipped configuration with rules, targets and Alertmanager of this machine.

    Rules are evaluated as much more often as time goes faster, since some count evaluations.

    Args:
        rules: The rule files.
        targets: By job, host:port; jobs without any are left out.
        alertmanager: Its address.
    """
    config: dict[str, Any] = yaml.safe_load((PROMETHEUS_DEPLOY / "prometheus.yml").read_text())
    evaluation = shortened_duration(config["global"]["evaluation_interval"], CLOCK, 0.0)
    config["global"] |= {"evaluation_interval": evaluation, **_scrapes(SCRAPE_SECONDS)}
    config["rule_files"] = [str(file.resolve()) for file in rules]
    alerting = config.setdefault("alerting", {})
    alerting["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    if unknown := targets.keys() - jobs.keys():
        raise ValueError(f"prometheus.yml has no jobs {sorted(unknown)}")
    config["scrape_configs"] = [
        {
            **_without_addresses(jobs[name]),
            **(_scrapes(SCRAPE_BROKER_SECONDS) if name == "kafka" else {}),
            "static_configs": [{"targets": list(addresses)}],
        }
        for name, addresses in targets.items()
        if addresses
    ]
    return config


def _scrapes(seconds: float) -> dict[str, str]:
    return dict.fromkeys(("scrape_interval", "scrape_timeout"), f"{round(seconds * 1_000)}ms")


def _without_addresses(job: Mapping[str, Any]) -> dict[str, Any]:
    times = {"scrape_interval", "scrape_timeout"}
    return {
        key: value
        for key, value in job.items()
        if not key.endswith("_configs") or key == "metric_relabel_configs"
        if key not in times
    }
