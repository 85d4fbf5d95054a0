"""A real Kafka for tests; under CI a missing one is a failure, elsewhere a reason to skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster, NoKafkaError, kafka_cluster


@contextmanager
def cluster_or_skip(**options: Any) -> Iterator[KafkaCluster]:
    """Run brokers within the block, as ``kafka_cluster`` does."""
    try:
        with kafka_cluster(**options) as cluster:
            yield cluster
    except NoKafkaError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
