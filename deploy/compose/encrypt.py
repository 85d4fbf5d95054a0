"""Writes the configuration of the secured stack's servers, from that of the open one.

What they do is the same; they speak TLS, and ask for passwords. ``make generate`` runs this.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

DEPLOY = Path(__file__).parents[1]
SECURED = Path(__file__).with_name("secured")
SECRETS = "/secrets"
CA = f"{SECRETS}/ca.crt"
USER = "prometheus"
OF_PROGRAMS = f"{SECRETS}/metrics-password"
OF_MONITORING = f"{SECRETS}/machines-password"
PROGRAMS = {"producer", "processor", "lag"}
# Ports of numbers alone, whose servers have no certificate; nobody outside reaches them.
OPEN = {"kafka", "otel-collector"}
# Reached by the Collector and Grafana alone, which do not log in.
WITHOUT_LOGIN = {"loki", "tempo"}

Tree = dict[str, Any]


def prometheus(given: Tree) -> Tree:
    """Return what scrapes by TLS, and logs in."""
    found = copy.deepcopy(given)
    for job in found["scrape_configs"]:
        if job["job_name"] not in OPEN:
            job.update(_client(job["job_name"]))
    for each in found["alerting"]["alertmanagers"]:
        each.update(_client("alertmanager"))
    return found


def tempo(given: Tree) -> Tree:
    """Return what takes spans, and answers, by TLS."""
    found = copy.deepcopy(given)
    found["server"]["http_tls_config"] = _server("tempo")
    found["distributor"]["receivers"]["otlp"]["protocols"]["http"]["tls"] = _server("tempo")
    return found


def loki(given: Tree) -> Tree:
    """Return what takes lines, and answers, by TLS."""
    found = copy.deepcopy(given)
    found["server"]["http_tls_config"] = _server("loki")
    return found


def datasources(given: Tree) -> Tree:
    """Return what Grafana asks by TLS, and where with a password."""
    found = copy.deepcopy(given)
    for each in found["datasources"]:
        name = each["uid"]
        each["url"] = each["url"].replace("http://", "https://")
        each.setdefault("jsonData", {})["tlsAuthWithCACert"] = True
        secure = {"tlsCACert": f"$__file{{{CA}}}"}
        if name not in WITHOUT_LOGIN:
            each |= {"basicAuth": True, "basicAuthUser": USER}
            secure["basicAuthPassword"] = f"$__file{{{OF_MONITORING}}}"
        each["secureJsonData"] = secure
    return found


def _client(name: str) -> Tree:
    found: Tree = {"scheme": "https", "tls_config": {"ca_file": CA, "server_name": name}}
    if name not in WITHOUT_LOGIN:
        file = OF_PROGRAMS if name in PROGRAMS else OF_MONITORING
        found["basic_auth"] = {"username": USER, "password_file": file}
    return found


def _server(name: str) -> Tree:
    return {"cert_file": f"{SECRETS}/{name}.crt", "key_file": f"{SECRETS}/{name}.key"}


class Made(NamedTuple):
    """A file, from what it is made, and how."""

    file: str
    source: str
    how: Callable[[Tree], Tree]


FILES = (
    Made("prometheus.yml", "prometheus/prometheus.yml", prometheus),
    Made("tempo.yaml", "tempo/tempo.yaml", tempo),
    Made("loki.yaml", "loki/loki.yaml", loki),
    Made("datasources.yaml", "grafana/provisioning/datasources/lanternpipe.yaml", datasources),
)


def files() -> dict[str, str]:
    """Return all files as they should be."""
    return {
        made.file: f"# Made from deploy/{made.source} by `make generate`.\n"
        + yaml.safe_dump(
            made.how(yaml.safe_load((DEPLOY / made.source).read_text())),
            sort_keys=False,
            width=100,
        )
        for made in FILES
    }


def differing(folder: Path = SECURED) -> list[str]:
    """Return the names of files that are not as they should be."""
    return [
        name
        for name, text in files().items()
        if not (folder / name).is_file() or (folder / name).read_text() != text
    ]


def main() -> int:
    """Write the files, or say which are not as they would be written; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if differing")
    if parser.parse_args().check:
        if differ := differing():
            sys.stderr.write(f"not as generated: {', '.join(differ)}; run `make generate`\n")
        return bool(differ)
    for name, text in files().items():
        (SECURED / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
