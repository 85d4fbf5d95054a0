"""Fixtures for all tests. Helpers to import live in plain modules, never here."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.brokers import cluster_or_skip


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings of the person who runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("PIPELINE_"):
            monkeypatch.delenv(name)
    # In a container the host name would be taken, which processes of one test would share.
    monkeypatch.setenv("PIPELINE_INSTANCE", "")


@pytest.fixture(name="kafka", scope="session")
def _kafka() -> Iterator[KafkaCluster]:
    """One real broker for all tests that do not disturb it."""
    with cluster_or_skip(brokers=1) as cluster:
        yield cluster


@pytest.fixture(name="unique")
def _unique() -> Callable[[str], str]:
    """Return names that no other test uses."""
    return lambda name: f"{name}-{uuid.uuid4().hex[:8]}"
