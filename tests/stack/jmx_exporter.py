"""The agent that lets Prometheus read a real broker's own numbers (JMX exporter).

It belongs to tests only, so its jar is fetched here and not by ``lanternpipe.testing``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lanternpipe.testing.kafka_cluster import QUICK_START
from lanternpipe.testing.kafka_install import MavenJars, fetch_jars, find_provider, free_ports
from tests.stack.install import NoComponentError
from tests.stack.server import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "1.0.1"  # the same as in jmx/pom.xml; a unit test holds them together
POM = Path(__file__).parent / "jmx" / "pom.xml"


def agent_jar() -> Path:
    """Return the agent's jar; the first call on a machine fetches it.

    Raises:
        NoComponentError: The brokers of this machine do not run from jars.
    """
    provider = find_provider()
    if not isinstance(provider, MavenJars):
        raise NoComponentError(
            f"no JMX exporter for the tests: {provider} takes no agent; install a JDK and Maven"
        )
    folder = fetch_jars(provider.mvn, os.environ, POM, f"jmx-exporter-{VERSION}")
    return folder / f"jmx_prometheus_javaagent-{VERSION}.jar"


class Agents:
    """Gives each broker of a cluster an agent, and remembers where these listen.

    Args:
        config: What the agents tell: the exporter's own configuration.

    Attributes:
        addresses: By the broker's number, as host:port; there once the brokers have started.
    """

    def __init__(self, config: Path) -> None:
        self._config, self._jar = config.resolve(), agent_jar()
        self.addresses: dict[int, str] = {}

    def flags(self, broker: int) -> Sequence[str]:
        """Return the flags of a broker's JVM, with a port that is free now."""
        self.addresses[broker] = f"{HOST}:{free_ports(1)[0]}"
        agent = f"-javaagent:{self._jar}={self.addresses[broker]}:{self._config}"
        return (*QUICK_START, agent)
