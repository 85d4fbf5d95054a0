"""What the promises are worth when something else than Kafka fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Message

from lanternpipe import headers
from lanternpipe.app import load_pipeline
from lanternpipe.assembly import build_processor
from lanternpipe.environment import load_settings
from lanternpipe.testing.doubles import LogBook
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.chaos.workload import workload
from tests.integration.deployed import SECONDS, Deploy, drain, send, verify
from tests.scrape import scraped, value

pytestmark = pytest.mark.kafka

EXAMPLES = Path(__file__).parents[2] / "examples"
# A pipeline that fails in many ways, as files in its folder say.
SICK = """
import time
from dataclasses import replace
from pathlib import Path
from lanternpipe import Reject, Retry
from logins.pipeline import pipeline as healthy

folder = Path(__file__).parent
down, stuck, sick, tried = (folder / name for name in ("down", "stuck", "sick", "tried"))

def transform(login, ctx):
    if down.exists() and login.device_id in down.read_text().split():
        with tried.open("a") as log:
            log.write(f"{login.device_id} {time.time()}\\n")
        raise Retry("geo_down")
    if stuck.exists() and login.device_id in stuck.read_text().split():
        time.sleep(3600)
    if sick.exists():
        raise Reject("sick")
    return healthy.transform(login, ctx)

pipeline = replace(healthy, transform=transform)
"""


class Sickness:
    """Switches what fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def strike(self, what: str, *devices: str) -> None:
        """Let something fail."""
        partial = self._folder / f"{what}.partial"
        partial.write_text(" ".join(devices))
        partial.replace(self._folder / what)

    def heal(self, what: str) -> None:
        """Let it work again."""
        (self._folder / what).unlink()

    def attempts(self, device: str) -> list[float]:
        """Return when a record was tried in vain; each attempt is seen twice."""
        log = self._folder / "tried"
        lines = log.read_text().splitlines() if log.exists() else []
        return [float(line.split()[1]) for line in lines if line.split()[0] == device]


@pytest.fixture(name="sickness")
def _sickness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sickness:
    """Make the sick pipeline known to the processes."""
    (tmp_path / "sick_logins.py").write_text(SICK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return Sickness(tmp_path)


SICK_APP = {"APP": "sick_logins:pipeline"}


def letters(deployment: Deployment) -> list[dict[str, str]]:
    """Return the headers of all dead letters."""
    return [
        {name: _text(content) for name, content in dict(message.headers() or []).items()}
        for message in read(deployment, deployment.dead_letters)
    ]


def _text(content: object) -> str:
    return content.decode(errors="replace") if isinstance(content, bytes) else ""


def test_a_dependency_that_is_down_holds_one_partition_and_loses_nothing(
    deploy: Deploy, sickness: Sickness
) -> None:
    """Records that need it wait in order, others go on, and when it is back all are processed."""
    deployment = deploy(**SICK_APP, RETRY__LONGEST="0.5")
    records = list(workload(1, 3_000, filtered=0.0, poison=0.0))
    victim = records[1_000].id
    sickness.strike("down", victim)
    sender = send(deployment, records)
    processor = Processor(deployment, "processor").start_and_join()
    ends = {at: deployment.ends(deployment.input)[at.partition] for at in deployment.partitions}

    def only_one_waits() -> bool:
        committed = deployment.committed()
        return sum(committed[at] < ends[at] for at in deployment.partitions) == 1

    until(only_one_waits, SECONDS, "all other partitions are done")
    until(lambda: len(sickness.attempts(victim)) >= 6, SECONDS, "several attempts")
    text = scraped(processor.metrics)
    assert value(text, "pipeline_waiting_partitions") in {0, 1}
    assert value(text, "pipeline_ledger_unaccounted_records") == 0
    sickness.heal("down")
    drain(deployment)
    verify(deployment, sender)
    assert letters(deployment) == []
    assert processor.stop() == 0


def test_a_record_at_fault_becomes_a_dead_letter(deploy: Deploy, sickness: Sickness) -> None:
    """Where others go through, the attempts of one record come to an end."""
    deployment = deploy(**SICK_APP, RETRY__LONGEST="0.1", RETRY__MAX_ATTEMPTS="3")
    records = list(workload(1, 2_000, filtered=0.0, poison=0.0))
    sickness.strike("down", records[500].id)
    send(deployment, records)
    processor = Processor(deployment, "processor").start_and_join()
    drain(deployment)
    (letter,) = letters(deployment)
    assert letter[headers.ERROR_KIND] == "retries_exhausted"
    assert letter[headers.ERROR_CLASS] == "geo_down"
    assert letter[headers.ATTEMPT] == "3"
    assert processor.stop() == 0


def test_retry_topics(deploy: Deploy, sickness: Sickness) -> None:
    """Records go from tier to tier, never before they are due, through a crash, exactly once."""
    deployment = deploy(
        **SICK_APP, RETRY__MODE="topics", RETRY__TIERS="2s,3s", DEADLETTER__DIALECTS="spring"
    )
    records = list(workload(1, 2_000, filtered=0.0, poison=0.0))
    hopeless, late = (records[place].id for place in (500, 700))
    sickness.strike("down", hopeless, late)
    sender = send(deployment, records)
    processor = Processor(deployment, "processor").start_and_join()
    until(lambda: bool(sickness.attempts(late)), SECONDS, "a first attempt")
    processor.kill()
    processor.start_and_join()
    until(lambda: len(set(sickness.attempts(late))) >= 2, SECONDS, "a second attempt")
    sickness.strike("down", hopeless)
    drain(deployment)
    until(lambda: len(letters(deployment)) == 1, SECONDS, "the hopeless one is given up")
    (letter,) = letters(deployment)
    assert letter[headers.ERROR_KIND] == "retries_exhausted"
    assert letter[headers.ATTEMPT] == "3"
    assert letter[headers.ORIGIN_TOPIC] == deployment.input
    assert "kafka_dlt-original-topic" in letter
    outputs = [json.loads(each.value() or b"") for each in read(deployment, deployment.output)]
    written = [each["device_id"] for each in outputs]
    assert len(written) == len(set(written)) == len(records) - 1
    assert late in written
    assert sender.placed
    for tier, wait in (("2s", 2.0), ("3s", 3.0)):
        hops = read(deployment, f"{deployment.input}.retry.{tier}")
        assert hops, f"nothing went through {tier}"
        for each in hops:
            told = dict(each.headers() or [])
            appended = each.timestamp()[1]
            assert int(told[headers.RETRY_DUE] or 0) >= appended + 1_000 * (wait - 1)
    first, *_, last = sorted(sickness.attempts(hopeless))
    assert last - first >= 5.0, "tried before it was due"
    assert processor.stop() == 0


def test_a_flood_opens_the_breaker(deploy: Deploy, sickness: Sickness, tmp_path: Path) -> None:
    """No more than a window becomes dead letters; the process lives on, and says so."""
    deployment = deploy(partitions=2, **SICK_APP)
    records = list(workload(1, 6_000, filtered=0.0, poison=0.0))
    sickness.strike("sick")
    send(deployment, records)
    processor = Processor(deployment, "processor").start_and_join()
    processor.until(lambda: bool(processor.events("breaker_opened")), SECONDS, "the breaker opens")
    processor.until(
        lambda: value(scraped(processor.metrics), "pipeline_breaker_open") == 1, SECONDS, "told"
    )
    assert len(letters(deployment)) <= 1_000
    before = deployment.committed()
    time.sleep(1)  # nothing is to happen, which no condition can tell
    assert deployment.committed() == before
    sickness.heal("sick")
    assert processor.stop() == 0

    # Well again, after a restart as by a deployment, the rest is processed.
    processor.start_and_join()
    drain(deployment)
    written = read(deployment, deployment.output)
    assert len(written) + len(letters(deployment)) == len(records)
    assert processor.stop() == 0


def test_an_operator_lets_a_bad_stretch_through(deploy: Deploy, sickness: Sickness) -> None:
    """With a time to accept before, all older records become dead letters."""
    deployment = deploy(partitions=2, **SICK_APP)
    records = list(workload(1, 3_000, filtered=0.0, poison=0.0))
    sickness.strike("sick")
    send(deployment, records)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    processor = Processor(deployment, "processor", DEADLETTER__BREAKER__ACCEPT_BEFORE=now)
    processor.start_and_join()
    drain(deployment)
    assert len(letters(deployment)) == len(records)
    assert not processor.events("breaker_opened")
    assert processor.stop() == 0


def test_a_stuck_transform_ends_the_process(deploy: Deploy, sickness: Sickness) -> None:
    """It names the record; the next process goes on where the group stands."""
    deployment = deploy(**SICK_APP, STALL_AFTER="5")
    records = list(workload(1, 2_000, filtered=0.0, poison=0.0))
    victim = records[500].id
    sickness.strike("stuck", victim)
    sender = send(deployment, records)
    processor = Processor(deployment, "processor").start()
    assert processor.wait(SECONDS) == 70
    assert f"the transform has not come back from {deployment.input}/" in processor.text()
    assert "in transform" in processor.text()
    sickness.heal("stuck")
    processor.start_and_join()
    drain(deployment)
    verify(deployment, sender)
    assert processor.stop() == 0


def test_a_client_that_has_stopped_fetching_is_replaced(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition of which nothing comes any more goes on with a new client, nothing is lost."""
    deployment = deploy()
    for name, setting in deployment.environment(STALL_AFTER="5").items():
        if name.startswith("PIPELINE_"):
            monkeypatch.setenv(name, setting)
    log = LogBook()
    settings = load_settings()
    app = build_processor(settings, load_pipeline(settings.app), log)
    stopping = threading.Event()
    running = threading.Thread(target=app.processor.run, args=[stopping.is_set])
    with app.lag.running():
        running.start()
        until(lambda: len(log.named("partition_started")) == 7, SECONDS, "all have begun")
        # As a client does that has a bug: it is not told by any error.
        victim = deployment.partitions[2]
        app.source.pause([victim])
        sender = send(deployment, list(workload(1, 4_000)))
        until(lambda: bool(log.named("partitions_stalled")), SECONDS, "the stall is seen")
        drain(deployment)
        stopping.set()
        running.join(SECONDS)
    app.committer.close(2.0)
    assert not running.is_alive()
    assert log.named("partitions_stalled") == [{"partitions": [str(victim)]}]
    verify(deployment, sender)


def test_the_example_of_a_lookup(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a service that is flaky and often away, every login gets its country, once."""
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES), prepend=os.pathsep)
    deployment = deploy(
        APP="geo_logins:pipeline",
        APP__GEO_FAILING="0.5",
        APP__GEO_AWAY="0.4",
        RETRY__LONGEST="0.5",
        RETRY__MAX_ATTEMPTS="0",
    )
    records = list(workload(1, 3_000, filtered=0.0, poison=0.0))
    sender = send(deployment, records)
    processor = Processor(deployment, "processor").start_and_join()
    drain(deployment)
    assert processor.stop() == 0
    (stopped,) = processor.events("stopped")
    assert stopped["retried"] > 0, "nothing has failed"
    outputs = [json.loads(each.value() or b"") for each in read(deployment, deployment.output)]
    assert {each["device_id"] for each in outputs} == {record.id for record in sender.records}
    assert len(outputs) == len(records)
    assert all(len(each["country"]) == 2 for each in outputs)


def test_what_is_replayed_is_processed_as_the_original(deploy: Deploy, sickness: Sickness) -> None:
    """A replayed record becomes an output with its own time, or a letter that counts on."""
    deployment = deploy(partitions=2, **SICK_APP)
    records = list(workload(1, 6, filtered=0.0, poison=0.0))
    sickness.strike("sick")
    send(deployment, records)
    times = {each.key(): each.timestamp()[1] for each in read(deployment, deployment.input)}
    processor = Processor(deployment, "processor").start()
    processor.until(lambda: len(letters(deployment)) == 6, SECONDS, "all have failed")

    assert replayed(deployment) == 6
    processor.until(lambda: len(letters(deployment)) == 12, SECONDS, "all have failed again")
    again = letters(deployment)
    assert sorted(each[headers.ATTEMPT] for each in again) == ["1"] * 6 + ["2"] * 6
    assert sorted(each.get(headers.REPLAYS, "0") for each in again) == ["0"] * 6 + ["1"] * 6
    assert len({each[headers.EVENT_ID] for each in again}) == 6
    assert {each[headers.ORIGIN_TOPIC] for each in again} == {deployment.input}

    sickness.heal("sick")
    assert replayed(deployment) == 6
    outputs: list[Message] = []

    def all_are_written() -> bool:
        outputs[:] = read(deployment, deployment.output)
        return len(outputs) >= 6

    processor.until(all_are_written, SECONDS, "all are processed")
    assert processor.stop() == 0
    assert len(outputs) == 6
    for each in outputs:
        assert each.timestamp()[1] == times[each.key()]
        names = [header[0] for header in each.headers() or []]
        assert names.count(headers.EVENT_ID) == 1
        assert not {*names} & {headers.ATTEMPT, *headers.ORIGIN}


def replayed(deployment: Deployment) -> int:
    """Replay what waits; return how many letters that were."""
    done = subprocess.run(
        [sys.executable, "-m", "lanternpipe", "dlq", "replay", "--json"],
        env=deployment.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["replayed"])
