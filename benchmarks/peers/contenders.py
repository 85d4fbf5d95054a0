"""Who takes part, and how each is started."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, NamedTuple

from benchmarks.contender import ROOT, Contender, processor, running
from benchmarks.peers.streams import arguments

Kind = Literal["yardstick", "lanternpipe", "streams", "quixstreams", "stock"]
QUIX_PYTHON = ROOT / ".venv/quix/bin/python"
STOCK_PYTHON = ROOT / ".venv/stock/bin/python"
LINGER_MS = 20  # while draining, where nobody waits for a record
QUICK_LINGER_MS = 5  # where latency is measured
EVERYTHING = "metrics,logs,traces"
SHARE = "0.01"  # of records that are traced


class Peer(NamedTuple):
    """One contender.

    Attributes:
        name: For people.
        kind: What it is.
        guarantee: As it calls its delivery.
        signals: Of Lanternpipe's telemetry.
        has_latency: Whether its latency is measured.
        has_drain: Whether its speed is.
        commit: Seconds between commits, in place of what it comes with.
    """

    name: str
    kind: Kind
    guarantee: str = ""
    signals: str = ""
    has_latency: bool = True
    has_drain: bool = True
    commit: str = ""


YARDSTICK = Peer("bare loop", "yardstick")
OURS = Peer("Lanternpipe, exactly once, all telemetry", "lanternpipe", "exactly-once", EVERYTHING)
OURS_ALO = Peer(
    "Lanternpipe, at least once, all telemetry", "lanternpipe", "at-least-once", EVERYTHING
)
OURS_SELDOM = Peer(
    "Lanternpipe, exactly once, commits every 100 ms",
    "lanternpipe",
    "exactly-once",
    EVERYTHING,
    has_drain=False,
    commit="0.1",  # as Streams does
)
STREAMS = Peer("Kafka Streams, exactly once", "streams", "exactly_once_v2")
STREAMS_ALO = Peer("Kafka Streams, at least once", "streams", "at_least_once")
PEERS = (
    YARDSTICK,
    Peer("Lanternpipe, exactly once", "lanternpipe", "exactly-once", has_latency=False),
    OURS,
    OURS_SELDOM,
    Peer("Lanternpipe, at least once", "lanternpipe", "at-least-once", has_latency=False),
    OURS_ALO,
    STREAMS,
    STREAMS_ALO,
    Peer("quixstreams, at least once", "quixstreams"),
    Peer("bare loop, stock tracing 1 %", "stock", has_latency=False),
)


class Stage(NamedTuple):
    """What all contenders are given.

    Attributes:
        servers: Of the broker.
        collector: Takes spans.
        class_path: Of Kafka Streams.
    """

    servers: str
    collector: str
    class_path: str


def start(
    peer: Peer, stage: Stage, source: str, target: str, *, quick: bool = False
) -> AbstractContextManager[Contender]:
    """Start a contender from one topic to another; ``quick`` where latency is measured."""
    servers, group = stage.servers, f"bench-{target}"
    told = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stage.collector,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": SHARE,
    }
    topics = [servers, source, target, group]
    match peer.kind:
        case "yardstick":
            mode = ["quick"] if quick else []
            return running(["-m", "benchmarks.yardstick", *topics, *mode])
        case "lanternpipe":
            environment = processor(peer.guarantee, servers, source, target, signals=peer.signals)
            if peer.commit:
                environment["PIPELINE_COMMIT__SHORTEST"] = peer.commit
            return running(["-m", "lanternpipe", "process"], **environment, **told)
        case "streams":
            linger = QUICK_LINGER_MS if quick else None
            given = arguments(stage.class_path, peer.guarantee, servers, source, target, linger)
            return running(given, python="java")
        case "quixstreams":
            linger_ms = str(QUICK_LINGER_MS if quick else LINGER_MS)
            module = ["-m", "benchmarks.peers.quix"]
            return running([*module, *topics, linger_ms], python=str(QUIX_PYTHON))
        case "stock":
            module = ["-m", "benchmarks.stock"]
            return running([*module, *topics, SHARE], python=str(STOCK_PYTHON), **told)
