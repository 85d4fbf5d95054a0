"""A real Kafka for tests; under CI a missing one is a failure, elsewhere a reason to skip."""

from __future__ import annotations

from lanternpipe.testing.fixtures import cluster_or_skip

__all__ = ["cluster_or_skip"]
