"""`lanternpipe dlq stats | peek | replay` on a real broker."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe import headers
from lanternpipe.kafka.admin import LogEnds
from lanternpipe.kafka.search import RecordSearch
from lanternpipe.letter import Letter, letters_of
from lanternpipe.records import TopicPartition
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.commands import LANTERNPIPE, environment, run, started
from tests.letters import DECODABLE, VERSION, LetterKind, envelope

pytestmark = pytest.mark.kafka

SECONDS = 60.0
KILLS = 20
LETTERS = 4_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


@pytest.fixture(name="env")
def _env(kafka: KafkaCluster, unique: Callable[[str], str]) -> dict[str, str]:
    """Return an environment with topics and a group of its own."""
    env = environment(
        kafka.bootstrap_servers,
        TOPICS__INPUT=unique("user-login"),
        TOPICS__OUTPUT=unique("processed-user-login"),
        KAFKA__GROUP_ID=unique("group"),
    )
    made = run(env, "topics", "apply")
    assert made.returncode == 0, made.stderr
    return env


def write(env: dict[str, str], *kinds: LetterKind) -> None:
    """Write letters as the runtime would have, of events that never were."""
    topic = env["PIPELINE_TOPICS__INPUT"]
    producer = Producer(
        {
            "bootstrap.servers": env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"],
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )
    for number, kind in enumerate(kinds):
        key, value, told = envelope(topic, number, kind)
        producer.produce(f"{topic}.dlq", value, key, headers=[*told])
    assert producer.flush(SECONDS) == 0


def read(env: dict[str, str], topic: str) -> list[Letter]:
    """Return all records of a topic as a committed reader sees them by now."""
    kafka = KafkaSettings(bootstrap_servers=env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"])
    search = RecordSearch(kafka, log=lambda *_, **__: None)
    try:
        partitions = search.partitions(topic)
        firsts, ends = search.first(partitions), search.last_stable(partitions)
        stretches = {at: range(firsts[at], ends[at]) for at in partitions}
        return [record for records in search.read(stretches) for record in letters_of(records)]
    finally:
        search.close()


def replayed(env: dict[str, str]) -> list[Letter]:
    """Return what is in the replay topic."""
    return read(env, f"{env['PIPELINE_TOPICS__INPUT']}.replay")


def marks(env: dict[str, str]) -> list[bytes]:
    """Return the keys of the marks."""
    return [mark.key or b"" for mark in read(env, f"{env['PIPELINE_TOPICS__INPUT']}.dlq.marks")]


def dlq(env: dict[str, str], *arguments: object, code: int = 0) -> dict[str, Any]:
    """Return what a command says to programs."""
    done = run(env, "dlq", *map(str, arguments), "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def audit(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the audit line of a run."""
    (line,) = [line for line in done.stderr.splitlines() if '"letters_replayed"' in line]
    found: dict[str, Any] = json.loads(line)
    return found


def test_letters_of_a_processor_are_counted_explained_and_replayed(env: dict[str, str]) -> None:
    """What the processor gave up on comes back with key, value, headers and trace, and once."""
    topic = env["PIPELINE_TOPICS__INPUT"]
    producer = Producer({"bootstrap.servers": env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]})
    own: list[tuple[str, str | bytes | None]] = [("traceparent", TRACEPARENT), ("tenant", b"7")]
    for key, value in ((b"carol", b"no json"), (b"dave", b'{"user_id": "d"}'), (b"erin", None)):
        producer.produce(topic, value, key, headers=own)
    assert producer.flush(SECONDS) == 0
    with started(env, "process"):
        deadline = time.monotonic() + SECONDS
        while json.loads(run(env, "lag", "--json").stdout)["records"]:
            assert time.monotonic() < deadline, "lag does not reach 0"
            time.sleep(0.1)

    stats = dlq(env, "stats")
    assert (stats["total"], stats["marked"]) == (3, 0)
    assert stats["by_reason"] == {"undecodable": 1, "invalid": 1, "tombstone": 1}
    assert stats["by_version"] == {VERSION: 3}
    assert stats["ages"]["1m"] == 3
    found = dlq(env, "peek", "--reason", "invalid")
    (letter,) = found["letters"]
    assert (letter["reason"], letter["field"], letter["attempt"]) == ("invalid", "app_version", 1)
    assert letter["origin"] == letter["event_id"]
    assert letter["trace_id"] == TRACE
    assert letter["fault_now"] == {
        "reason": "invalid",
        "field": "app_version",
        "limit": "required",
    }
    written = read(env, f"{topic}.dlq")

    done = run(env, "dlq", "replay")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"3 letters replayed to {topic}.replay\n"
    line = audit(done)
    assert (line["outcome"], line["replayed"], line["skipped"]) == ("finished", 3, 0)
    assert (line["letters"], line["to"]) == (f"{topic}.dlq", f"{topic}.replay")

    records = {record.key: record for record in replayed(env)}
    assert len(records) == 3
    for old in written:
        new = records[old.key]
        assert new.value == old.value
        assert new.headers["tenant"] == b"7"
        assert new.headers["traceparent"] == old.headers["traceparent"]
        assert (new.event_id, new.origin) == (old.event_id, old.origin)
        assert (new.attempt, new.replays) == (1, 1)
        assert new.told(headers.ORIGIN_TIMESTAMP) == old.told(headers.ORIGIN_TIMESTAMP)
        assert not [name for name in new.headers if name.startswith("pipeline-error")]
    assert sorted(marks(env)) == sorted(str(old.place).encode() for old in written)

    assert dlq(env, "stats")["total"] == 0
    assert dlq(env, "stats", "--all")["total"] == 3
    assert dlq(env, "peek")["letters"] == []
    again = dlq(env, "replay")
    assert (again["replayed"], again["skipped"]) == (0, 3)
    assert again["skipped_by_reason"] == {"replayed before": 3}
    assert len(replayed(env)) == 3


def test_a_dry_run_writes_nothing(env: dict[str, str]) -> None:
    """A dry run says how many it would replay, and leaves no record and no mark."""
    write(env, *[LetterKind()] * 7)
    found = dlq(env, "replay", "--dry-run")
    assert (found["replayed"], found["would_replay"], found["dry_run"]) == (0, 7, True)
    assert (replayed(env), marks(env)) == ([], [])
    assert run(env, "dlq", "replay", "--dry-run").stdout.startswith("7 letters would be replayed")


def test_filters_choose_letters(env: dict[str, str]) -> None:
    """Reason, key, time and number say which letters are meant; the others stay as they are."""
    write(env, LetterKind(reason="bug", key=b"a"), LetterKind(key=b"a"), LetterKind(key=b"b"))
    newest = max(letter.timestamp for letter in read(env, f"{env['PIPELINE_TOPICS__INPUT']}.dlq"))
    while time.time() * 1_000 <= newest + 1:  # the next letter is to have a later millisecond
        time.sleep(0.001)
    write(env, LetterKind(key=b"c", reason="bug"))
    last = dlq(env, "peek", "--key", "c")["letters"][0]["timestamp"]

    assert dlq(env, "stats", "--reason", "bug")["total"] == 2
    assert dlq(env, "stats", "--reason", "bug", "--reason", "invalid")["total"] == 4
    assert dlq(env, "stats", "--since", last)["total"] == 1
    assert dlq(env, "stats", "--until", last)["total"] == 3
    assert dlq(env, "peek", "--key", "a", "--count", 1)["matching"] == 2
    newest, oldest = (
        dlq(env, "peek", "--count", 1, *more)["letters"][0] for more in ([], ["--oldest"])
    )
    assert newest["timestamp"] == last
    assert oldest["timestamp"] < last

    assert dlq(env, "replay", "--reason", "bug", "--since", last)["replayed"] == 1
    assert dlq(env, "replay", "--key", "b")["replayed"] == 1
    assert dlq(env, "replay", "--max", 1)["replayed"] == 1
    left = dlq(env, "replay")
    assert (left["replayed"], left["skipped"]) == (1, 3)
    assert sorted(record.key or b"" for record in replayed(env)) == [b"a", b"a", b"b", b"c"]


def test_what_cannot_be_replayed_is_skipped(env: dict[str, str]) -> None:
    """Letters that were cut, and those that came back too often, stay and are told by reason."""
    write(env, LetterKind(cut=True), LetterKind(replays=3), LetterKind(replays=2), LetterKind())
    found = dlq(env, "replay")
    assert (found["replayed"], found["skipped"]) == (2, 2)
    assert found["skipped_by_reason"] == {"truncated": 1, "replayed too often": 1}
    assert sorted(record.replays for record in replayed(env)) == [1, 3]
    assert dlq(env, "replay", "--max-replays", 4)["replayed"] == 1


def test_again_means_again(env: dict[str, str]) -> None:
    """With --again a letter is replayed once more, counted on, and not without end."""
    write(env, LetterKind())
    assert [dlq(env, "replay", "--again")["replayed"] for _ in range(4)] == [1, 1, 1, 0]
    assert [record.replays for record in replayed(env)] == [1, 2, 3]


def test_letters_are_mended_on_their_way(env: dict[str, str], tmp_path: Path) -> None:
    """A user's function changes values or leaves letters alone; its failure ends the run safely."""
    (tmp_path / "mending.py").write_text(
        "from lanternpipe import Letter\n"
        "def mend(letter: Letter) -> bytes | None:\n"
        "    if letter.key == b'odd':\n"
        "        return None\n"
        "    if letter.key == b'bad':\n"
        "        raise ValueError(letter.value)\n"
        f"    assert letter.field == 'app_version', letter.field\n"
        f"    return {DECODABLE!r}\n"
    )
    env = {**env, "PYTHONPATH": str(tmp_path)}
    write(env, LetterKind(key=b"good"), LetterKind(key=b"odd"))
    found = dlq(env, "replay", "--mend", "mending:mend")
    assert found["skipped_by_reason"] == {"left alone by --mend": 1}
    (record,) = replayed(env)
    assert (record.key, record.value) == (b"good", DECODABLE)

    write(env, *[LetterKind(key=b"good")] * 3, LetterKind(key=b"bad", value=b"secret"))
    failed = run(env, "dlq", "replay", "--mend", "mending:mend", "--key", "bad")
    assert failed.returncode == 1
    assert "--mend: ValueError at " in failed.stderr
    assert f"mending.py:6 for {env['PIPELINE_TOPICS__INPUT']}.dlq/" in failed.stderr
    assert "secret" not in failed.stderr
    assert audit(failed)["outcome"] == "failed"
    assert len(replayed(env)) == 1
    refused = run(env, "dlq", "replay", "--mend", "mending:nothing")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_back_to_the_input_topic(env: dict[str, str], unique: Callable[[str], str]) -> None:
    """--to-origin names the other groups that read the topic, and wants a yes."""
    topic, other = env["PIPELINE_TOPICS__INPUT"], unique("reports")
    servers = env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": other})
    consumer.commit(offsets=[ClientPartition(topic, 0, 0)], asynchronous=False)
    consumer.close()
    write(env, LetterKind(), LetterKind(origin="elsewhere"))

    refused = run(env, "dlq", "replay", "--to-origin")
    assert refused.returncode == 2
    assert f"also groups other than ours: {other}\n" in refused.stderr
    assert "add --yes" in refused.stderr
    assert read(env, topic) == []

    before = time.time() * 1_000
    done = run(env, "dlq", "replay", "--to-origin", "--yes", "--json")
    found = json.loads(done.stdout)
    assert (found["to"], found["replayed"]) == (topic, 1)
    assert found["skipped_by_reason"] == {"other origin": 1}
    assert other in done.stderr
    (record,) = read(env, topic)
    assert record.replays == 1
    assert record.timestamp >= before - 60_000  # not the origin's, which is years ago

    sandbox = env["PIPELINE_TOPICS__OUTPUT"]
    assert dlq(env, "replay", "--to", sandbox)["replayed"] == 1  # that of another origin
    assert len(read(env, sandbox)) == 1
    assert run(env, "dlq", "replay", "--to", "nowhere").returncode == 3
    assert run(env, "dlq", "replay", "--to", f"{topic}.dlq").returncode == 2


def test_the_picture_keeps_personal_data_to_itself(env: dict[str, str]) -> None:
    """What is printed shows neither keys nor values, unless it is asked for."""
    write(env, LetterKind(key=b"carol", value=b'{"ip": "91.42.227.164"}'))
    plain = [run(env, "dlq", *words) for words in (["stats"], ["peek"], ["replay", "--key", "x"])]
    assert [done.returncode for done in plain] == [0, 0, 0]
    text = "".join(done.stdout + done.stderr for done in plain)
    assert not [secret for secret in ("carol", "91.42") if secret in text]
    assert "now: its value does not decode: invalid: field user_id, should be required" in text
    assert "1 dead letters in" in text
    shown = run(env, "dlq", "peek", "--show").stdout
    assert "carol" in shown
    assert "91.42" in shown


def test_a_second_run_ends_the_first(env: dict[str, str]) -> None:
    """Of two runs at the same time the second takes over, and all letters are replayed once."""
    write(env, *[LetterKind()] * LETTERS)
    with slow_run({**env, "PIPELINE_BATCH_RECORDS": "5"}, "--rate", "100") as first:
        until_written(env, 0)
        second = dlq(env, "replay")
        _, said = first.communicate(timeout=SECONDS)

    assert first.returncode == 5
    assert "another `dlq replay` of the same group has begun and taken over" in said
    assert second["replayed"] + second["skipped"] == LETTERS
    assert second["skipped"] > 0
    once(env, LETTERS)


@pytest.mark.timeout(300)
def test_killed_at_any_moment_it_replays_each_letter_once(env: dict[str, str]) -> None:
    """Twenty times killed and run again, each letter is in the replay topic exactly once."""
    write(env, *[LetterKind()] * LETTERS)
    slow = {**env, "PIPELINE_BATCH_RECORDS": "3"}
    random = Random(20)
    end = held = 0
    for kill in range(KILLS):
        with slow_run(slow, "--rate", "1000") as process:
            if kill % 5 == 4:  # at a moment of its start
                time.sleep(random.uniform(0.2, 1.5))
            else:
                until_written(env, end)
                time.sleep(random.uniform(0.0, 0.1))
            assert process.poll() is None, process.communicate()
            process.kill()
            process.wait(SECONDS)
        left_open, end = high(env) > stable(env), high(env)
        held += left_open
    done = dlq(env, "replay")
    print(f"{done['skipped']} letters replayed by {KILLS} killed runs, {held} in a transaction")
    assert held > 0
    assert done["replayed"] + done["skipped"] == LETTERS
    assert 0 < done["skipped"] < LETTERS
    once(env, LETTERS)
    assert dlq(env, "replay")["replayed"] == 0


def once(env: dict[str, str], count: int) -> None:
    """Fail unless each of so many letters has been replayed once and marked."""
    events = Counter(record.event_id for record in replayed(env))
    assert len(events) == count
    assert {*events.values()} == {1}
    assert len({*marks(env)}) == count


def high(env: dict[str, str]) -> int:
    """Return where the replay topic ends, an open transaction included."""
    at = TopicPartition(f"{env['PIPELINE_TOPICS__INPUT']}.replay", 0)
    return ends(env).high([at])[at]


def stable(env: dict[str, str]) -> int:
    """Return where the replay topic ends for a committed reader."""
    at = TopicPartition(f"{env['PIPELINE_TOPICS__INPUT']}.replay", 0)
    return ends(env).last_stable([at])[at]


@functools.cache
def asking(servers: str) -> LogEnds:
    """Return who asks the broker."""
    return LogEnds({"bootstrap.servers": servers}, log=lambda *_, **__: None)


def ends(env: dict[str, str]) -> LogEnds:
    """Return who knows where partitions end."""
    return asking(env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"])


def until_written(env: dict[str, str], beyond: int) -> None:
    """Wait until more has been written to the replay topic."""
    deadline = time.monotonic() + SECONDS
    while high(env) <= beyond:
        assert time.monotonic() < deadline, "nothing is replayed"
        time.sleep(0.01)


@contextmanager
def slow_run(env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a replay within the block."""
    words = [LANTERNPIPE, "dlq", "replay", *arguments]
    process = subprocess.Popen(
        words, env=env, stdout=sys.stdout.fileno(), stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)
        if process.stderr is not None:
            process.stderr.close()
