"""What a running pipeline tells a real Collector and a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind

from lanternpipe import EventProducer, Topic
from lanternpipe.settings import KafkaSettings
from lanternpipe.telemetry.catalogue import ATTRIBUTES, CERTIFICATE_EXPIRES, METRICS, SPANS, Span
from lanternpipe.telemetry.sampling import parsed
from lanternpipe.telemetry.sending import SendTracer
from logins.events import UserLogin
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.reader import read
from tests.chaos.waiting import until
from tests.chaos.workload import Sender, workload
from tests.scrape import scraped
from tests.stack.collector import collector
from tests.stack.prometheus import prometheus
from tests.stack.test_fixtures import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lanternpipe.testing.kafka_cluster import KafkaCluster

SECONDS = 60.0
SECRETS = ("secret-user", "198.51.100.77", "secret-device")
LOGIN = UserLogin(SECRETS[0], "2.3.0", SECRETS[1], "NV", SECRETS[2], 1_729_741_922, "iOS")
OURS = ("pipeline_", "messaging_", "rdkafka_")


@pytest.fixture(name="deployment")
def _deployment(
    kafka: KafkaCluster, unique: Callable[[str], str], tmp_path: Path
) -> Iterator[Deployment]:
    """Deploy a pipeline whose client tells its statistics every second."""
    quick = {"KAFKA__EXTRA__STATISTICS_INTERVAL_MS": "1000"}
    with Deployment.on(kafka, unique("signals"), tmp_path, quick) as deployment:
        yield deployment


def names(text: str) -> set[str]:
    """Return the names of our own metrics in a scrape, as the catalogue has them."""
    lines = (line.split() for line in text.splitlines() if line.startswith("# TYPE "))
    found = {name for _, _, name, _ in lines if name.startswith(OURS)}
    return {name for name in found if not name.endswith("_created")}


def of_records(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the spans of single records."""
    return [span for span in spans if "messaging.kafka.offset" in span["attributes"]]


def kinds(span: dict[str, Any], topic: str) -> list[Span]:
    """Return which declared spans this one may be."""
    given = set(span["attributes"])
    return [
        each
        for each in SPANS
        if span["name"] == f"{each.operation} {topic}"
        and span["kind"] == SpanKind[each.kind.upper()].value + 1  # OTLP counts from 1
        and each.always <= given <= each.always | each.maybe
    ]


def test_a_trace_goes_from_the_caller_to_the_downstream_reader(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trace id leads from a caller's span over topic and processor to the output's reader."""
    with collector(CONFIG) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        processor = Processor(deployment, "processor").start_and_join()
        provider = TracerProvider(sampler=ALWAYS_ON)  # or it would read the variable above
        topic = Topic(deployment.input, UserLogin, key=lambda login: login.user_id)
        settings = KafkaSettings(bootstrap_servers=deployment.servers)
        sends = SendTracer(topic.name, 0.0, provider.get_tracer("tests"))
        with EventProducer(topic, settings, tracing=sends) as producer:
            with provider.get_tracer("caller").start_as_current_span("request") as request:
                producer.send_and_wait(LOGIN, headers=[("foreign", b"1")])
            producer.send_and_wait(LOGIN)
            producer.send_raw(b"{", b"k")
        trace_id = request.get_span_context().trace_id

        until(lambda: len(read(deployment, deployment.output)) == 2, SECONDS, "outputs")
        until(lambda: len(read(deployment, deployment.dead_letters)) == 1, SECONDS, "a letter")
        until(lambda: len(of_records(receiver.spans())) == 2, SECONDS, "spans at the Collector")
        assert processor.stop() == 0
        spans = receiver.spans()

    untraced, traced = sorted(
        read(deployment, deployment.output), key=lambda each: len(each.headers() or [])
    )
    headers: list[tuple[str, bytes]] = [*(traced.headers() or [])]
    contexts = [parsed(content) for name, content in headers if name == "traceparent"]
    assert [(context.trace_id, context.sampled) for context in contexts if context] == [
        (trace_id, True)
    ]
    assert ("foreign", b"1") in headers
    assert untraced.headers() is None
    records = of_records(spans)
    (own,) = [span for span in records if int(span["traceId"], 16) == trace_id]
    assert own["name"] == f"process {deployment.input}"
    assert contexts[0] is not None
    assert int(own["spanId"], 16) == contexts[0].span_id
    batches = {span["spanId"] for span in spans if span not in records}
    assert {link["spanId"] for link in own["links"]} <= batches
    (failed,) = [span for span in records if "error.type" in span["attributes"]]
    assert failed["attributes"]["error.type"] == "undecodable"
    (letter,) = read(deployment, deployment.dead_letters)
    carried = parsed(dict(letter.headers() or [])["traceparent"])
    assert carried is not None
    assert int(failed["traceId"], 16) == carried.trace_id
    assert not [secret for secret in SECRETS if secret in json.dumps(spans)]


def test_what_is_shown_is_the_catalogue(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All metrics and spans of the catalogue, and no others of ours, come out, with exemplars."""
    with collector(CONFIG) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        processor = Processor(deployment, "processor").start_and_join()
        url = processor.metrics
        began = time.time()
        with (
            prometheus({"processor": [url.removeprefix("http://").partition("/")[0]]}) as server,
            Sender(deployment, list(workload(1, 3_000)), rate=1_000) as sender,
        ):
            sender.finish()
            deployment.run("produce", "--rate", "max", "--count", "200", "--poison", "0.5")
            until(deployment.drained, SECONDS, "all committed")
            # None could end where there is none: tests/security/test_rotation.py has some.
            told = [metric for metric in METRICS if metric.teller == "processor"]
            ours = [metric for metric in told if metric is not CERTIFICATE_EXPIRES]
            wanted = {metric.exposed for metric in ours}
            until(lambda: names(scraped(url)) == wanted, SECONDS, "the whole catalogue")
            for metric in ours:
                name = metric.exposed + ("_count" if metric.kind == "histogram" else "")
                until(lambda name=name: bool(server.query(name)), SECONDS, name)  # type: ignore[misc]
            (unaccounted,) = server.query("pipeline_ledger_unaccounted_records")
            exemplars = server.query_exemplars(
                "pipeline_record_age_seconds_bucket", began, time.time() + 1
            )
            traces = {exemplar.labels["trace_id"] for exemplar in exemplars}
            until(
                lambda: traces <= {span["traceId"] for span in receiver.spans()},
                SECONDS,
                "the spans of all exemplars",
            )
        shown = scraped(url)
        assert processor.stop() == 0
        spans = receiver.spans()
    assert unaccounted.value == 0
    found = [kinds(span, deployment.input) for span in spans]
    assert {len(each) for each in found} == {1}, "spans that are not declared"
    assert {kind for each in found for kind in each} == set(SPANS)
    assert {name for span in spans for name in span["attributes"]} == set(ATTRIBUTES)
    assert traces
    assert "user-" not in shown.replace("user-login", "")


def test_signals_can_be_switched_off(deployment: Deployment) -> None:
    """Without signals there are no metrics of ours, no lines but errors, and no trace headers."""
    arguments = [sys.executable, "-m", "lanternpipe", "process"]
    environment = deployment.environment(TELEMETRY__SIGNALS="", HTTP__PORT="0")
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE) as process:
        with Sender(deployment, list(workload(1, 500))) as sender:
            sender.finish()
        until(deployment.drained, SECONDS, "all committed")
        process.terminate()
        printed, _ = process.communicate()
    assert process.returncode == 0
    assert printed == b""
    assert {each.headers() and None for each in read(deployment, deployment.output)} == {None}
