"""The demo as a newcomer starts it, on the broker in memory and on a real one."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.commands import environment

DEMO = (sys.executable, "-m", "lanternpipe", "demo")
NOWHERE = "127.0.0.1:1"  # the demo on its own broker must not look at the settings of another
FIELDS = {
    "produced",
    "processed",
    "filtered",
    "dead_lettered",
    "in_flight",
    "unaccounted",
    "p50_ms",
    "p99_ms",
    "records_per_second",
    "trace",
    "journey",
}


def demo(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [*DEMO, *arguments],
        env=environment(NOWHERE, **settings),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def assert_accounted(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the figures of a demo in which nothing was lost or doubled."""
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    figures: dict[str, Any] = json.loads(line)
    assert figures.keys() == FIELDS
    assert figures["unaccounted"] == figures["in_flight"] == 0, figures
    assert figures["processed"] > figures["filtered"] > 0
    assert figures["dead_lettered"] > 0
    assert figures["p50_ms"] <= figures["p99_ms"]
    return figures


def assert_followed(figures: dict[str, Any]) -> None:
    """Check that one record was followed: over Kafka by its trace, to its end by its journey."""
    trace, journey = figures["trace"], figures["journey"]
    sent, processed = trace["spans"]
    assert sent["name"] == f"send {journey['input']['topic']}"
    assert processed["name"] == f"process {journey['input']['topic']}"
    assert (sent["service"], processed["service"]) == (
        "lanternpipe-producer",
        "lanternpipe-processor",
    )
    assert processed["parent_span_id"] == sent["span_id"]
    assert sent["record"] == processed["record"] == trace["crossing"] == journey["event"]
    assert journey["group"]["passed"]
    (end,) = journey["outputs"] or journey["dead_letters"]
    assert journey["input"]["trace_id"] == end["trace_id"] == trace["trace_id"]


def test_every_record_is_accounted_for() -> None:
    """`demo --json` ends by itself with one object in which nothing is missing."""
    figures = assert_accounted(demo("--seconds", "6", "--json"))

    assert figures["produced"] > 500
    assert_followed(figures)


def test_full_speed_does_not_outrun_the_broker() -> None:
    """As fast as it goes, with many broken records, the broker in memory drops none."""
    done = demo("--seconds", "6", "--json", "--rate", "max", "--poison", "0.3")

    figures = assert_accounted(done)
    assert figures["dead_lettered"] > 0.2 * figures["produced"]


def test_plain_lines_without_a_terminal() -> None:
    """Where there is no terminal, lines tell how it goes, and the last ones how it went."""
    done = demo("--seconds", "3")

    assert done.returncode == 0, done.stderr
    assert "every record is accounted for" in done.stdout
    assert "\x1b" not in done.stdout
    assert re.search(r"^ +╰ process user-login +lanternpipe-processor", done.stdout, re.MULTILINE)
    assert re.search(r"^(processed|dead-lettered): ", done.stdout, re.MULTILINE)


def test_nothing_is_traced_where_traces_are_switched_off() -> None:
    """Without `traces` among the signals the demo shows no trace, and still a journey."""
    done = demo("--seconds", "3", "--json", "--poison", "0.1", TELEMETRY__SIGNALS="metrics,logs")

    figures = assert_accounted(done)
    assert figures["trace"] is None
    assert figures["journey"]["input"]["trace_id"] is None
    assert figures["journey"]["outcome"] == "dead_lettered"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_is_an_orderly_end(number: signal.Signals) -> None:
    """Ctrl-C ends the demo within seconds, with its figures and code 0."""
    process = subprocess.Popen(
        [*DEMO, "--json"],
        env=environment(NOWHERE),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while " processed, " not in (line := process.stderr.readline()):
            assert line, "ended before any record was processed"
        asked = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0, err
    assert json.loads(out)["unaccounted"] == 0
    assert time.monotonic() - asked < 10


@pytest.mark.kafka
def test_real_broker_is_left_as_it_was(kafka: KafkaCluster) -> None:
    """`demo --broker` accounts for every record on a real broker and leaves nothing there."""
    done = demo("--seconds", "8", "--json", "--broker", kafka.bootstrap_servers)

    assert_followed(assert_accounted(done))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    topics = set(admin.list_topics(timeout=10).topics)
    groups = {group.group_id for group in admin.list_consumer_groups().result().valid or ()}
    assert not [name for name in topics | groups if ".demo-" in name]


def test_broker_that_is_not_there() -> None:
    """Without a broker at the given address, the demo says so and ends."""
    done = demo("--seconds", "1", "--broker", NOWHERE)

    assert done.returncode == 6
    assert NOWHERE in done.stderr.splitlines()[-1]
