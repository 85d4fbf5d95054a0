"""Fixtures for pytest: name this module in ``pytest_plugins``.

The only module of this package that needs pytest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lanternpipe.kafka.embedded import embedded_broker
from lanternpipe.testing.doubles import LogBook
from lanternpipe.testing.kafka_cluster import KafkaCluster, NoKafkaError, kafka_cluster


@contextmanager
def cluster_or_skip(**options: Any) -> Iterator[KafkaCluster]:
    """Run brokers within the block, as ``kafka_cluster`` does.

    Where none can be had the test is skipped, and with ``CI`` in the environment it fails.
    """
    try:
        with kafka_cluster(**options) as cluster:
            yield cluster
    except NoKafkaError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(name="embedded_broker")
def _embedded_broker() -> Iterator[str]:
    """Run a broker within this process; yield its address.

    Topics come into being when they are first asked for. It isolates no transactions.
    """
    with embedded_broker([], log=LogBook()) as address:
        yield address


@pytest.fixture(name="kafka_cluster", scope="session")
def _kafka_cluster() -> Iterator[str]:
    """Run a real Apache Kafka of one broker for all tests; yield its bootstrap servers."""
    with cluster_or_skip(brokers=1) as cluster:
        yield cluster.bootstrap_servers
