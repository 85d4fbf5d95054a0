"""The verbs that move records: demo, produce, process."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lanternpipe import arguments
from lanternpipe.cli.verb import Verbs, opened
from lanternpipe.errors import ConfigError


def add(verbs: Verbs) -> None:
    """Add them to the parser."""
    added = verbs.add(
        "demo",
        _demo,
        "Show the whole pipeline at work, on a broker in memory.",
        "lanternpipe demo --seconds 20",
    )
    _samples(added, rate="1000", poison=0.02)
    added.add_argument("--broker", metavar="HOST:PORT", help="use this Kafka instead")
    added.add_argument("--picture", metavar="FILE", type=Path, help="keep the last board as SVG")

    added = verbs.add(
        "produce",
        _produce,
        "Send sample events, or JSON lines, to the input topic.",
        "lanternpipe produce --rate 1000 --seconds 60 --poison 0.01",
    )
    _samples(added, rate="100; max for --input", poison=0.0)
    added.add_argument("--count", type=arguments.count, help="how many; by default no end")
    added.add_argument("--large", action="store_true", help="poison may be a value of 900 kB")
    added.add_argument(
        "--serve", action="store_true", help="metrics and probes on PIPELINE_HTTP__PORT"
    )
    added.add_argument("--input", metavar="FILE", help="send these JSON lines; - reads from stdin")

    verbs.add(
        "process",
        _process,
        "Process events from the input topic until stopped.",
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:9092 lanternpipe process",
    )


def _samples(added: argparse.ArgumentParser, *, rate: str, poison: float) -> None:
    added.add_argument("--seconds", type=arguments.positive, help="for how long; by default no end")
    added.add_argument(
        "--poison", type=arguments.share, default=poison, help="share of broken records, 0 to 1"
    )
    added.add_argument(
        "--filtered",
        type=arguments.share,
        default=0.05,
        help="share of filtered events, 0 to 1",
    )
    added.add_argument("--seed", type=int, default=1, help="of the samples")
    added.add_argument(
        "--rate",
        type=arguments.rate,
        default=argparse.SUPPRESS,  # what it is by default depends on what is sent
        help=f"events per second, or max (default {rate})",
    )
    added.add_argument("--json", action="store_true", help="end with one JSON object")


def _process(_: argparse.Namespace) -> int:
    from lanternpipe.app import process

    settings, pipeline, log = opened("processor", background=True)
    try:
        process(settings, pipeline, log)
    finally:
        log.close()
    return 0


def _produce(options: argparse.Namespace) -> int:
    from lanternpipe.produce import ProduceOptions, produce_events

    settings, pipeline, log = opened("producer", stream=sys.stderr)
    on_terminal = sys.stderr.isatty()

    def progress(producer: Any, elapsed: float) -> None:
        if on_terminal:
            rate = producer.acknowledged / elapsed if elapsed else 0.0
            print(
                f"\r{producer.sent:,} sent, {producer.acknowledged:,} acknowledged, "
                f"{producer.failed:,} failed, {rate:,.0f}/s \x1b[K",
                end="",
                file=sys.stderr,
            )

    lines = None
    if options.input == "-":
        lines = sys.stdin.buffer
    elif options.input is not None:
        try:
            lines = Path(options.input).open("rb")  # noqa: SIM115  # closed by the end of the process
        except OSError as error:
            raise ConfigError(f"--input {options.input}: {error.strerror}") from error
    asked = ProduceOptions(
        # Given lines leave as fast as they are read, unless a rate is asked for.
        rate=getattr(options, "rate", None if lines is not None else 100.0),
        count=options.count,
        seconds=options.seconds,
        poison=options.poison,
        filtered=options.filtered,
        large=options.large,
        seed=options.seed,
        lines=lines,
        serve=options.serve,
    )
    producer = produce_events(settings, pipeline, asked, log, progress)
    if on_terminal:
        print(file=sys.stderr)
    if options.json:
        counts = ("sent", "acknowledged", "failed")
        print(json.dumps({name: getattr(producer, name) for name in counts}))
    else:
        print(f"{producer.acknowledged:,} events acknowledged")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from lanternpipe.app import load_pipeline
    from lanternpipe.demo.run import run_demo
    from lanternpipe.environment import load_settings
    from lanternpipe.telemetry.logs import PipelineLog

    settings = load_settings()
    return run_demo(
        settings,
        load_pipeline(settings.app),
        log=PipelineLog(settings.log, service="lanternpipe-demo", stream=sys.stderr),
        seconds=options.seconds,
        as_json=options.json,
        rate=getattr(options, "rate", 1_000.0),
        poison=options.poison,
        filtered=options.filtered,
        seed=options.seed,
        broker=options.broker,
        picture=options.picture,
    )
