"""Personal data goes through the whole program in every way that it can, and no signal tells it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from lanternpipe import EventProducer
from lanternpipe.settings import KafkaSettings
from lanternpipe.telemetry.sampling import parsed
from lanternpipe.telemetry.sending import SendTracer
from logins.events import UserLogin
from logins.pipeline import pipeline
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.scrape import OPEN_METRICS, scraped, value
from tests.stack.collector import Collector, collector
from tests.stack.test_fixtures import CONFIG
from tests.stack.test_signals import of_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from confluent_kafka import Message

    from lanternpipe.testing.kafka_cluster import KafkaCluster

SECONDS = 60.0
USER, IP, DEVICE = "planted-user-8c1f", "2001:db8::8c1f:77", "planted-device-8c1f"
SECRETS = (USER, IP, DEVICE)
LOGIN = UserLogin(USER, "2.3.0", IP, "NV", DEVICE, 1_729_741_922, "iOS")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# A context of a caller, one that is none, and headers of others, which go through as they are.
CALLER = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
BROKEN = [("traceparent", USER.encode())]
FOREIGN: list[tuple[str, bytes | None]] = [
    ("tracestate", f"vendor={USER}".encode()),
    ("tenant", IP.encode()),
    (DEVICE, b"1"),
]
OURS = ("pipeline-", "traceparent")

# What its user declares may make the codec's own messages hold values of a record; and what its
# transform raises does, the locale says how.
APP = """
import sys
from dataclasses import replace
from typing import Literal

import msgspec
from lanternpipe import Output
from logins.events import UserLogin
from logins.pipeline import pipeline as plain

class Strict(UserLogin, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    colour: Literal["red", "blue"] = "red"
    marks: dict[str, int] = {}

class LoginError(Exception):
    def __init__(self, login):
        super().__init__(login.user_id, login.ip, login.device_id)

def transform(login, ctx):
    match login.locale:
        case "error":
            raise LoginError(login)
        case "chained":
            try:
                {}[login.user_id]
            except KeyError as error:
                raise RuntimeError(f"{login.ip} on {login.device_id}") from error
        case "exit":
            sys.exit(f"{login.user_id} {login.ip} {login.device_id}")
        case "other":
            return login
        case "key":
            return Output(plain.transform(login, ctx), key=login.user_id)
        case "topic":
            return Output(plain.transform(login, ctx), topic=login.user_id)
    made = plain.transform(login, ctx)
    match login.locale:
        case "surrogate":
            return msgspec.structs.replace(made, ip=login.ip + login.device_id + chr(0xD800))
        case "object":
            return msgspec.structs.replace(made, ip=LoginError(login))
        case "large":
            return msgspec.structs.replace(made, locale=login.user_id * 100_000)
    return made

pipeline = replace(plain, input=replace(plain.input, event=Strict), transform=transform)
"""
RAISED = {
    "error": "bug",
    "chained": "bug",
    "exit": "bug",
    "other": "bug",
    "key": "bug",
    "topic": "bug",
    "surrogate": "bug",
    "object": "bug",
    "large": "too_large",
}


def changed(**fields: object) -> bytes:
    """Return the login with other fields, or more of them, as its sender would write it."""
    return msgspec.json.encode({**msgspec.structs.asdict(LOGIN), **fields})


def broken() -> list[tuple[str, bytes | None]]:
    """Return the values that are no logins, each with the kind of dead letter that it becomes."""
    both = f"{USER} {IP} {DEVICE}"
    return [
        ("invalid", changed(timestamp=both)),
        ("invalid", changed(ip={USER: DEVICE})),
        ("invalid", changed(app_version=both)),
        ("invalid", changed(colour=both)),
        ("invalid", changed(marks={USER: IP})),
        ("invalid", changed(**{DEVICE: 1})),
        ("invalid", msgspec.json.encode([USER, IP, DEVICE])),
        ("invalid", msgspec.json.encode(both)),
        ("undecodable", changed()[:-40]),
        ("undecodable", both.encode()),
        ("undecodable", changed(ip="?").replace(b"?", b"\xff" + IP.encode())),
        ("tombstone", None),
        ("empty", b""),
        *((kind, changed(locale=way)) for way, kind in RAISED.items()),
    ]


@pytest.fixture(name="deployment")
def _deployment(
    kafka: KafkaCluster,
    unique: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deployment]:
    """Deploy a pipeline whose transform tells secrets, and which tells all that it can."""
    (tmp_path / "telltale.py").write_text(APP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    told = {
        "APP": "telltale:pipeline",
        "LOG__LEVEL": "debug",
        "KAFKA__EXTRA__STATISTICS_INTERVAL_MS": "500",
        # Few, so that results which are taken one by one do not hide those that are not.
        "BATCH_RECORDS": "5",
    }
    with Deployment.on(kafka, unique("planted"), tmp_path, told) as deployment:
        yield deployment


def test_no_signal_holds_what_was_planted(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither output, metrics, spans nor headers of ours hold a user id, an address or a device."""
    with collector(CONFIG) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        processor = Processor(deployment, "processor").start_and_join()
        told = {
            "produce": produced(deployment, [changed(), changed(app_version="1.0.0")], 0),
            "produce a broken line": produced(deployment, [changed(timestamp=USER)], 1),
        }
        kinds = Counter(sent(deployment))
        records = 2 + 2 + kinds.total()  # from `produce`; good ones of our own; broken ones
        until(
            lambda: len(read(deployment, deployment.dead_letters)) == kinds.total(),
            SECONDS,
            "dead letters",
        )
        until(deployment.drained, SECONDS, "all committed")
        until(lambda: len(of_records(receiver.spans())) == records + 2, SECONDS, "all spans")
        metrics = processor.metrics
        counted = partial(value, name="pipeline_records_total", reason="invalid")
        until(lambda: counted(scraped(metrics)) == kinds["invalid"], SECONDS, "metrics")
        told["metrics"] = scraped(metrics)
        told["OpenMetrics"] = scraped(metrics, OPEN_METRICS)
        assert processor.stop() == 0
        told["process"] = processor.text()
        told["spans"] = spans_in_full(receiver)

    outputs = read(deployment, deployment.output)
    letters = read(deployment, deployment.dead_letters)
    told["headers of outputs"] = headers_of_ours(outputs)
    told["headers of dead letters"] = headers_of_ours(letters)
    leaks = [(where, secret) for where, text in told.items() for secret in found_in(text)]
    assert leaks == []

    # That all of it was there to be told.
    assert {letter.key() for letter in letters} == {USER.encode()}
    assert Counter(kind_of(letter) for letter in letters) == kinds
    assert [DEVICE.encode() in (each.value() or b"") for each in outputs] == [True] * 3
    assert all(headers_of(each)[: len(FOREIGN)] == FOREIGN for each in letters)
    assert '# {span_id="' in told["OpenMetrics"] or '# {trace_id="' in told["OpenMetrics"]
    assert "LoginError" in told["process"]
    assert TRACE in told["headers of outputs"]
    assert all(parsed(dict(headers_of(each))["traceparent"]) for each in (*outputs, *letters))


def produced(deployment: Deployment, lines: list[bytes], code: int) -> str:
    """Send lines by the command, which must end with this code; return all that it prints."""
    file = deployment.folder / "lines.jsonl"
    file.write_bytes(b"\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "lanternpipe", "produce", "--input", str(file)],
        env=deployment.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def sent(deployment: Deployment) -> list[str]:
    """Send good records and broken ones; return the kinds of dead letters that must come."""
    topic = replace(pipeline.input, name=deployment.input)
    settings = KafkaSettings(bootstrap_servers=deployment.servers)
    kinds = []
    with EventProducer(topic, settings, tracing=SendTracer(topic.name, 0.0)) as producer:
        producer.send(LOGIN, headers=[*FOREIGN, *CALLER])
        producer.send(LOGIN, headers=[*FOREIGN, *BROKEN])
        for kind, value in broken():
            producer.send_raw(value, USER, headers=[*FOREIGN])
            kinds.append(kind)
        producer.send_raw(b"{", USER, headers=[*FOREIGN, *BROKEN])
        assert producer.flush(SECONDS) == 0
    return [*kinds, "undecodable"]


def spans_in_full(receiver: Collector) -> str:
    """Return what the Collector has received, as it has written it."""
    return receiver.traces_file.read_text()


def headers_of_ours(messages: list[Message]) -> str:
    """Return what we have added to records, names and contents."""
    return json.dumps(
        [
            (name, repr(content))
            for message in messages
            for name, content in headers_of(message)
            if name.startswith(OURS) or (name, content) not in FOREIGN
        ]
    )


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Return the headers of a record."""
    return [*(message.headers() or [])]


def found_in(text: str) -> list[str]:
    """Return the secrets that a text holds, as they are or as bytes in OTLP/JSON are written."""
    return [
        secret
        for secret in SECRETS
        if secret in text or base64.b64encode(secret.encode()).decode().rstrip("=") in text
    ]


def kind_of(letter: Message) -> str:
    """Return what is said to be wrong with a record."""
    return (dict(headers_of(letter))["pipeline-error-kind"] or b"").decode()
