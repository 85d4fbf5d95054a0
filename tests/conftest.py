"""Fixtures for all tests. Helpers to import live in plain modules, never here."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster, NoKafkaError, kafka_cluster


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
    try:
        with kafka_cluster(brokers=1) as cluster:
            yield cluster
    except NoKafkaError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(name="unique")
def _unique() -> Callable[[str], str]:
    """Return names that no other test uses."""
    return lambda name: f"{name}-{uuid.uuid4().hex[:8]}"
