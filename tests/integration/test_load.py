"""The load harness: real processes under load, and a report that tells the truth of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from lanternpipe.testing.kafka_cluster import KafkaCluster
from lanternpipe.testing.kafka_install import free_ports
from tests.chaos.waiting import until

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]
END_SECONDS = 150.0
HOLDS, LIMITS, FAILED = 0, 1, 2


@contextmanager
def started(
    *arguments: str, out: Path, cluster: KafkaCluster | None = None, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a load within the block."""
    kept = {name: value for name, value in os.environ.items() if name[:9] != "PIPELINE_"}
    if cluster is not None:
        kept["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"] = cluster.bootstrap_servers
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest", *arguments, "--out", str(out)],
        cwd=ROOT,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def run(*arguments: str, out: Path, **more: Any) -> tuple[int, str]:
    """Run a load to its end; return its exit code and what it has printed."""
    with started(*arguments, out=out, **more) as process:
        told, _ = process.communicate(timeout=END_SECONDS)
        return process.returncode, told


def report_in(folder: Path) -> dict[str, Any]:
    """Return the report for programs."""
    made: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    return made


def findings_of(made: dict[str, Any]) -> dict[str, bool]:
    """Return what was to hold, and whether it does."""
    return {each["words"]: each["holds"] for each in made["findings"]}


class Text(HTMLParser):
    """What a page says, and what it would load from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elsewhere: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        self.elsewhere += [str(value) for name, value in attrs if name in {"src", "href"}]


def test_every_record_is_accounted_for(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Two generators send, some of it broken: each record comes out once, as output or letter."""
    arguments = ("poison", "--rate", "200", "--seconds", "12", "--processes", "2")
    code, told = run(*arguments, out=tmp_path, cluster=cluster)
    assert code in {HOLDS, LIMITS}, told  # a crowded machine may be slow, but loses nothing
    made = report_in(tmp_path)
    account = made["account"]
    assert account["sent"] == account["seen"] > 1_500
    assert [account[name] for name in ("lost", "duplicates", "reordered", "undelivered")] == [0] * 4
    assert findings_of(made)["dead letters"]
    assert sum(moment["dead"] for moment in made["moments"]) > 0
    assert {"generator", "reader", "processor 1"} <= {each["name"] for each in made["samples"]}
    page = Text((tmp_path / "report.html").read_text())
    assert "Load profile poison" in page.words
    assert not page.elsewhere
    assert (
        f"{account['sent']:,} sent, {account['seen']:,} seen"
        in (tmp_path / "report.md").read_text()
    )


def test_generator_too_slow(cluster: KafkaCluster, tmp_path: Path) -> None:
    """A generator that cannot send what is due says so, and the run fails."""
    arguments = ("smoke", "--rate", "2000000", "--seconds", "4")
    code, told = run(*arguments, out=tmp_path, cluster=cluster)
    assert code == LIMITS, told
    assert "The generator was the bottleneck" in told
    made = report_in(tmp_path)
    assert not findings_of(made)["the generator kept up: p99 of the send delay"]
    assert made["account"]["lost"] == 0


def test_generator_dies(cluster: KafkaCluster, tmp_path: Path) -> None:
    """A process that sends is killed: nobody knows what it sent, so the run says so and fails."""
    arguments = ("constant", "--rate", "200", "--seconds", "25", "--processes", "2")
    with started(*arguments, out=tmp_path, cluster=cluster) as process:

        def sending() -> list[psutil.Process]:
            assert process.poll() is None, process.stdout and process.stdout.read()
            children = psutil.Process(process.pid).children(recursive=True)
            locusts = [each for each in children if "locust" in each.cmdline()]
            return locusts if (tmp_path / "progress.txt").exists() else []

        until(lambda: len(sending()) == 3, 60, "a master and two workers")
        master, *workers = sorted(sending(), key=lambda each: each.create_time())
        assert all(worker.ppid() == master.pid for worker in workers)
        workers[0].kill()
        told, _ = process.communicate(timeout=END_SECONDS)
        assert process.returncode == LIMITS, told
    assert not findings_of(report_in(tmp_path))["generators that have not said what they sent"]


def test_processor_dies(cluster: KafkaCluster, tmp_path: Path) -> None:
    """A processor that is killed by others than the profile ends the run, which says so."""
    with started("constant", "--seconds", "60", out=tmp_path, cluster=cluster) as process:
        until((tmp_path / "started.json").exists, 60, "the load")
        for child in psutil.Process(process.pid).children(recursive=True):
            if "process" in child.cmdline():
                child.kill()
        told, _ = process.communicate(timeout=60)
        assert process.returncode == FAILED, told
    assert "processor 1 has ended" in told


def test_processor_is_killed(cluster: KafkaCluster, tmp_path: Path) -> None:
    """A processor dies in the middle and comes back: nothing is lost, nothing comes twice."""
    quick = {"PIPELINE_KAFKA__SESSION_TIMEOUT": "6", "PIPELINE_KAFKA__TRANSACTION_TIMEOUT": "6"}
    arguments = ("kill", "--rate", "200", "--seconds", "15")
    code, told = run(*arguments, out=tmp_path, cluster=cluster, **quick)
    assert code in {HOLDS, LIMITS}, told
    made = report_in(tmp_path)
    assert [mark["words"] for mark in made["marks"]] == [
        "processor 2 killed",
        "processors started",
        "sending ended",
    ]
    account = made["account"]
    assert account["sent"] == account["seen"]
    assert [account[name] for name in ("lost", "duplicates", "reordered")] == [0, 0, 0]


def ask(port: int, path: str, **form: str) -> Any:
    """Ask Locust's page for something."""
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=60) as answer:
        return json.load(answer) if answer.headers.get_content_type() == "application/json" else ""


def test_locust_page(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Locust's page starts and stops a load, and shows what goes on; then there is a report."""
    (port,) = free_ports(1)
    arguments = ("constant", "--rate", "100", "--seconds", "600", "--web", str(port))
    with started(*arguments, out=tmp_path, cluster=cluster) as process:

        def up() -> bool:
            assert process.poll() is None, process.stdout and process.stdout.read()
            try:
                ask(port, "/")
            except OSError:
                return False
            return True

        until(up, 60, "Locust's page")
        assert ask(port, "/swarm", user_count="1", spawn_rate="1")["success"]

        def shown() -> bool:
            stats = {each["name"]: each for each in ask(port, "/stats/requests")["stats"]}
            names = ("send delay", "acknowledged", "end to end")
            return all(stats.get(name, {}).get("num_requests", 0) > 100 for name in names)

        until(shown, 60, "records on Locust's page")
        ask(port, "/stop", now="yes")
        until((tmp_path / "result.json").exists, 90, "the result")
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
        assert process.returncode in {HOLDS, LIMITS}, told
    account = report_in(tmp_path)["account"]
    assert account["sent"] == account["seen"] > 100


def test_without_java_and_docker(tmp_path: Path) -> None:
    """Where there is no real broker, a small load runs on one in memory, and says so."""
    nowhere = {"PATH": "/nonexistent", "KAFKA_BOOTSTRAP_SERVERS": ""}
    code, told = run("smoke", "--rate", "100", "--seconds", "8", out=tmp_path, **nowhere)
    assert code in {HOLDS, LIMITS}, told
    made = report_in(tmp_path)
    assert "in memory" in made["where"]
    assert made["account"]["sent"] == made["account"]["seen"] > 400
    code, told = run("kill", out=tmp_path, **nowhere)
    assert code == FAILED
    assert "PIPELINE_KAFKA__BOOTSTRAP_SERVERS" in told


def test_asked_to_end(cluster: KafkaCluster, tmp_path: Path) -> None:
    """A run that is asked to end leaves no topics behind, and is not taken for a broken limit."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    with started("constant", "--rate", "200", out=tmp_path, cluster=cluster) as process:
        until((tmp_path / "started.json").exists, 60, "the load")
        before = [each for each in admin.list_topics(timeout=30).topics if ".load-" in each]
        process.terminate()
        told, _ = process.communicate(timeout=60)
        assert process.returncode == FAILED, told
    assert before
    left = admin.list_topics(timeout=30).topics
    assert not [each for each in before if each in left]


def test_page_does_no_faults(tmp_path: Path) -> None:
    """A profile with faults is refused at Locust's page, where nobody would do them."""
    code, told = run("kill", "--web", out=tmp_path)
    assert code == FAILED
    assert "run it without --web" in told


def test_unknown_profile(tmp_path: Path) -> None:
    """A profile that does not exist is told, with those that do."""
    code, told = run("stairs", out=tmp_path)
    assert code == FAILED
    assert "'stairs'" in told
    assert "steps" in told


def test_broker_that_is_not_there(tmp_path: Path) -> None:
    """Where nothing answers, one line says so."""
    (port,) = free_ports(1)
    servers = {"PIPELINE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}
    code, told = run("smoke", out=tmp_path, **servers)
    assert code == FAILED
    assert f"127.0.0.1:{port}" in told.splitlines()[-1]
