"""The results as Kafka's own console consumer reads them: a client that is not ours."""

from __future__ import annotations

import msgspec

from lanternpipe.testing.history import Seen
from lanternpipe.testing.kafka_cluster import KafkaCluster
from logins.events import ProcessedUserLogin
from tests.chaos.deployment import Deployment

CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"
SHOWN = ("key", "partition", "offset", "value")
IDLE_MS = 10_000  # without a record for so long, it has reached the end
READ_SECONDS = 300.0


def by_console(cluster: KafkaCluster, deployment: Deployment) -> list[Seen]:
    """Read the output topic from its beginning to its end, committed records only."""
    options = [f"print.{what}=true" for what in SHOWN]
    printed = cluster.run_tool(
        CONSOLE,
        *("--bootstrap-server", cluster.bootstrap_servers, "--topic", deployment.output),
        *("--from-beginning", "--isolation-level", "read_committed"),
        *("--timeout-ms", f"{IDLE_MS}"),
        *(word for option in options for word in ("--formatter-property", option)),
        timeout=READ_SECONDS,
    )
    decode = msgspec.json.Decoder(ProcessedUserLogin).decode
    found = []
    for line in printed.splitlines():
        if not line.startswith("Partition:"):
            continue  # a word about itself; a record that is missed shows in the comparison
        partition, offset, key, value = line.split("\t", 3)
        place = int(partition.removeprefix("Partition:")), int(offset.removeprefix("Offset:"))
        found.append(Seen(decode(value).device_id, key, "processed", *place))
    return found
