"""The commands of an operator, on a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lanternpipe.kafka.reader import TopicReader
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.commands import environment, run, started

pytestmark = pytest.mark.kafka

SAMPLE = (
    b'{"user_id": "63cd3c70-6c44-4971-9fc9-6c45612f31c9", "app_version": "2.3.0", '
    b'"ip": "91.42.227.164", "locale": "NV", "device_id": "93f1cd25-fe64-4f2c-b574-f6c0345c3c8a", '
    b'"timestamp": 1729741922, "device_type": "iOS"}'
)


@pytest.fixture(name="env")
def _env(kafka: KafkaCluster, unique: Callable[[str], str]) -> dict[str, str]:
    """Return an environment with topics and a group of its own; the topics do not exist yet."""
    return environment(
        kafka.bootstrap_servers,
        TOPICS__INPUT=unique("user-login"),
        TOPICS__OUTPUT=unique("processed-user-login"),
        KAFKA__GROUP_ID=unique("group"),
    )


def read(env: dict[str, str], topic: str, count: int) -> list[bytes | None]:
    """Return the values in a topic once there are ``count``, as a committed reader sees them."""
    kafka = KafkaSettings(bootstrap_servers=env["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"])
    reader = TopicReader(kafka, [topic], log=lambda *_, **__: None)
    found: list[bytes | None] = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        for records in reader.fetch(500, 0.1).runs:
            found.extend(records.values)
    reader.close()
    return found


def until_lag_is_zero(env: dict[str, str]) -> None:
    """Wait until the group has nothing left to do."""
    deadline = time.monotonic() + 60
    while json.loads(run(env, "lag", "--json").stdout)["records"]:
        assert time.monotonic() < deadline, "lag does not reach 0"
        time.sleep(0.1)


def test_topics_are_created_compared_and_corrected(env: dict[str, str]) -> None:
    """`topics diff` tells what is missing or differs, `topics apply` makes it as declared."""
    source, output = env["PIPELINE_TOPICS__INPUT"], env["PIPELINE_TOPICS__OUTPUT"]
    before = run(env, "topics", "diff", "--json")
    made = run(env, "topics", "apply")
    after = run(env, "topics", "diff")

    assert before.returncode == 1
    missing = {each["topic"] for each in json.loads(before.stdout)["differences"]}
    around = {f"{source}.dlq", f"{source}.dlq.marks", f"{source}.replay"}
    assert missing == {source, output, *around}
    assert (made.returncode, after.returncode) == (0, 0), made.stderr + after.stderr
    assert f"{source}: created with 6 partitions" in made.stdout
    assert after.stdout == "the topics are as declared\n"

    more = {**env, "PIPELINE_TOPICS__PARTITIONS": "8"}
    differs = run(more, "topics", "apply")
    assert differs.returncode == 1
    assert f"{source}: partitions is 6, declared 8 (not changed: keys would" in differs.stdout


def test_missing_topics_stop_the_processor(env: dict[str, str]) -> None:
    """`process` without topics ends with code 3 and names them and the command that helps."""
    refused = run(env, "process")

    assert refused.returncode == 3
    assert env["PIPELINE_TOPICS__INPUT"] in refused.stderr
    assert "lanternpipe topics apply" in refused.stderr


def test_output_is_exactly_as_documented(env: dict[str, str]) -> None:
    """A documented login comes out as documented, key and timestamp kept, also from digits."""
    run(env, "topics", "apply")
    as_digits = SAMPLE.replace(b"1729741922", b'"1729741922"').replace(b"iOS", b"android")
    extra = SAMPLE.replace(b"{", b'{"secret": "x", ', 1).replace(b"2.3.0", b"2.10.0")
    sent = run(env, "produce", "--input", "-", stdin=b"\n".join([SAMPLE, b"", as_digits, extra]))
    assert (sent.returncode, sent.stdout) == (0, "3 events acknowledged\n"), sent.stderr

    with started(env, "process"):
        outputs = read(env, env["PIPELINE_TOPICS__OUTPUT"], 3)
        until_lag_is_zero(env)

    processed = [json.loads(value or b"") for value in outputs]
    for event in processed:
        assert abs(event.pop("processed_timestamp") - time.time()) < 60
    original = json.loads(SAMPLE)
    assert processed == [
        original,
        {**original, "device_type": "android"},
        {**original, "app_version": "2.10.0"},
    ]
    assert [*processed[0]] == [*original]  # fields in declared order
    assert b" " not in (outputs[0] or b" ")


def test_poison_goes_to_the_dead_letters_with_its_reason(env: dict[str, str]) -> None:
    """Every sample is processed, filtered or dead-lettered, by the seed; poison up to 900 kB."""
    run(env, "topics", "apply")
    arguments = ("--rate", "max", "--count", "2000", "--poison", "0.05", "--large", "--json")
    sent = run(env, "produce", *arguments)
    assert json.loads(sent.stdout) == {"sent": 2000, "acknowledged": 2000, "failed": 0}

    with started(env, "process"):
        until_lag_is_zero(env)
    letters = read(env, f"{env['PIPELINE_TOPICS__INPUT']}.dlq", 60)
    outputs = read(env, env["PIPELINE_TOPICS__OUTPUT"], 1700)

    assert 60 <= len(letters) <= 140
    assert 60 <= 2000 - len(letters) - len(outputs) <= 140  # filtered, 5 %
    assert max(len(value or b"") for value in letters) == 900_000
    assert {None, b""} <= {*letters}


def test_lag_before_and_after(env: dict[str, str]) -> None:
    """`lag` counts all records of a group that never committed, then 0, with ages in seconds."""
    run(env, "topics", "apply")
    run(env, "produce", "--rate", "max", "--count", "500")

    before = json.loads(run(env, "lag", "--json").stdout)
    table = run(env, "lag").stdout
    with started(env, "process"):
        until_lag_is_zero(env)
    after = json.loads(run(env, "lag", "--json").stdout)

    assert before["records"] == sum(each["records"] for each in before["partitions"]) == 500
    assert 0 < before["seconds"] < 60
    assert {each["committed"] for each in before["partitions"]} == {None}
    assert "500 records behind" in table
    assert (after["records"], after["seconds"]) == (0, 0.0)


@pytest.mark.parametrize(
    "arguments", [("topics", "diff"), ("lag",), ("produce", "--seconds", "1", "--count", "1")]
)
def test_no_broker(env: dict[str, str], arguments: tuple[str, ...]) -> None:
    """Without a broker, commands that end by themselves do so with code 6 and its address."""
    nobody = {**env, "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    refused = run(nobody, *arguments)

    assert refused.returncode == 6, refused.stderr
    assert "asked 127.0.0.1:1; is PIPELINE_KAFKA__BOOTSTRAP_SERVERS right?" in refused.stderr


def test_bad_line_is_named(env: dict[str, str], tmp_path: Path) -> None:
    """`produce --input FILE` stops at a line that is no event, with its number and field."""
    run(env, "topics", "apply")
    lines = tmp_path / "logins.jsonl"
    lines.write_bytes(SAMPLE + b"\n" + SAMPLE.replace(b'"ip"', b'"address"') + b"\n")

    refused = run(env, "produce", "--input", str(lines))

    assert refused.returncode == 1
    assert "line 2 is no UserLogin: invalid, field ip: required" in refused.stderr
    assert len(read(env, env["PIPELINE_TOPICS__INPUT"], 1)) == 1


def test_refused_events_are_counted_and_fatal(env: dict[str, str]) -> None:
    """Events that the broker refuses make `produce` end with code 7 and their number."""
    run(env, "topics", "apply")
    small = {**env, "PIPELINE_KAFKA__PRODUCER_EXTRA__MESSAGE_MAX_BYTES": "3000000"}
    text = SAMPLE.replace(b'"NV"', b'"' + b"x" * 1_200_000 + b'"')

    refused = run(
        {**small, "PIPELINE_KAFKA__COMPRESSION": "none"}, "produce", "--input", "-", stdin=text
    )

    assert refused.returncode == 7
    assert "1 events were refused" in refused.stderr


def test_config_names_the_connection(env: dict[str, str]) -> None:
    """`config` shows each value and whether it was given."""
    shown = json.loads(run(env, "config", "--json").stdout)

    assert shown["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]["from"] == "environment"
    assert shown["PIPELINE_DELIVERY"] == {"value": "exactly-once", "from": "default"}
