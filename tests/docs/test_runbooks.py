"""Every command of the runbooks, and of the page on failures, runs as written."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from lanternpipe.testing.kafka_cluster import KafkaCluster
from lanternpipe.testing.kafka_install import free_ports
from tests.docs.test_docs import ROOT, blocks, environment

pytestmark = pytest.mark.kafka

PAGES = sorted([ROOT / "docs/failures.md", *(ROOT / "docs/runbooks").glob("*.md")])
TOOLS = {
    "kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-delete-records.sh": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}
GOOD = (
    b'{"user_id": "u", "app_version": "2.3.0", "ip": "::1", "locale": "NV", '
    b'"device_id": "d", "timestamp": 1729741922, "device_type": "iOS"}'
)
SECONDS = 90


@dataclass
class Site:
    """A processor at work, and what its operator has at hand."""

    settings: dict[str, str]
    names: dict[str, str]
    processor: subprocess.Popen[bytes]

    def run(self, script: str) -> str:
        """Run a block of a page as an operator would."""
        for shown, actual in self.names.items():
            script = script.replace(shown, actual)
        done = subprocess.run(
            ["bash", "-ec", script],
            check=False,
            env=self.settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Stop the processor, so that its group has no members."""
        self.processor.terminate()
        self.processor.wait(SECONDS)


def install_tools(kafka: KafkaCluster, folder: Path) -> None:
    """Put Kafka's own commands into a folder."""
    for name, tool in TOOLS.items():
        command = shlex.join(kafka.tool_command(tool))
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)


@pytest.fixture(name="site", scope="module")
def _site(kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a processor that has processed some records and given up on others."""
    folder = tmp_path_factory.mktemp("site")
    install_tools(kafka, folder)
    (port,) = free_ports(1)
    mark = folder.name.replace("_", "-")
    names = {
        "user-login": f"user-login-{mark}",
        "logins-processor": f"logins-{mark}",
        "127.0.0.1:9092": kafka.bootstrap_servers,
        "9464": str(port),
    }
    settings = environment(
        PIPELINE_TOPICS__INPUT=names["user-login"],
        PIPELINE_TOPICS__OUTPUT=f"processed-{mark}",
        PIPELINE_KAFKA__GROUP_ID=names["logins-processor"],
        PIPELINE_KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        PIPELINE_HTTP__PORT=str(port),
    )
    settings["PATH"] = f"{folder}:{settings['PATH']}"
    subprocess.run(["lanternpipe", "topics", "apply"], env=settings, check=True, timeout=SECONDS)
    sender = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(120):
        value = b"no json" if number % 20 == 0 else GOOD
        sender.produce(names["user-login"], value, b"%d" % number)
    assert sender.flush(SECONDS) == 0
    with (folder / "log").open("wb") as log:
        processor = subprocess.Popen(["lanternpipe", "process"], env=settings, stdout=log)
        site = Site(settings, names, processor)
        try:
            site.run(
                "for _ in $(seq 600); do lanternpipe lag --json | grep -q '\"records\": 0,' "
                "&& exit 0; sleep 0.1; done; exit 1"
            )
            yield site
        finally:
            processor.kill()
            processor.wait()


def needs_an_empty_group(block: str) -> bool:
    """Tell whether a block is for when all processors are stopped."""
    return "--reset-offsets" in block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run(site: Site, page: Path) -> None:
    """What the page lets an operator type works, and finds what it looks for."""
    for block in blocks(page):
        if not needs_an_empty_group(block):
            assert site.run(block), f"{block} prints nothing"


def test_commands_for_a_group_without_members_run(site: Site) -> None:
    """Offsets are moved as the pages say, once all processors are stopped."""
    found = [block for page in PAGES for block in blocks(page) if needs_an_empty_group(block)]
    assert found
    site.stop()
    for block in found:
        assert "NEW-OFFSET" in site.run(block)


def test_every_runbook_is_listed() -> None:
    """The list of runbooks names each page, and each page is named as its heading says."""
    listed = (ROOT / "docs/runbooks/README.md").read_text()
    for page in PAGES:
        if page.parent.name == "runbooks" and page.stem != "README":
            assert f"[{page.stem}]({page.name})" in listed
            assert page.read_text().startswith(f"# {page.stem}\n")
