"""What a scrape of a running processor gets."""

from __future__ import annotations

from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

CLASSIC = "text/plain"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def scraped(url: str, accept: str = CLASSIC) -> str:
    """Return what a scrape gets that asks for a format."""
    with urlopen(Request(url, headers={"Accept": accept})) as answer:  # our own loopback address
        return str(answer.read().decode())


def value(text: str, name: str, **labels: str) -> float | None:
    """Return a sample of a scrape in the classic format; None if there is none.

    Args:
        text: The scrape.
        name: As exposed, with its suffix.
        labels: That the sample must have, among others.
    """
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None
