"""The command line: verbs only, no logic."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lanternpipe import arguments
from lanternpipe.errors import ConfigError, LanternpipeError, RetriableFailure
from lanternpipe.exit_codes import exit_code
from lanternpipe.version import VERSION

EXIT_DIFFERS = 1
EXIT_UNHEALTHY = 1
WIDTH_OF_FILES = 10_000  # characters


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, 0 only on success."""
    options = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except LanternpipeError as error:
        text = str(error)
        if isinstance(error, RetriableFailure):
            from lanternpipe.environment import load_settings

            brokers = load_settings().kafka.bootstrap_servers
            text += f"; asked {brokers}; is PIPELINE_KAFKA__BOOTSTRAP_SERVERS right?"
        for line in text.splitlines():
            print(f"lanternpipe: {line}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _process(_: argparse.Namespace) -> int:
    from lanternpipe.app import process

    settings, pipeline, log = _open("processor", background=True)
    try:
        process(settings, pipeline, log)
    finally:
        log.close()
    return 0


def _produce(options: argparse.Namespace) -> int:
    from lanternpipe.produce import ProduceOptions, produce_events

    settings, pipeline, log = _open("producer", stream=sys.stderr)
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


def _topics(options: argparse.Namespace) -> int:
    from lanternpipe.ops.topics import diff, make_so
    from lanternpipe.topology import declared_topics, topic_names

    settings, pipeline, log = _open("topics", stream=sys.stderr)
    names = topic_names(settings, pipeline)
    run = make_so if options.action == "apply" else diff
    report = run(
        settings.kafka, declared_topics(settings, pipeline), names.input, names.output, log=log
    )
    if options.json:
        print(json.dumps(report.as_json()))
    else:
        print(*report.lines(), sep="\n")
    return EXIT_DIFFERS if report.differences else 0


def _lag(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live

    from lanternpipe.ops import lag
    from lanternpipe.topology import topic_names

    settings, pipeline, log = _open("lag", stream=sys.stderr)
    kafka = settings.kafka
    if options.group:
        kafka = kafka.model_copy(update={"group_id": options.group})
    reader = lag.LagReader(kafka, topic_names(settings, pipeline).input, log=log)
    console = Console()
    if not options.watch:
        found = reader.read()
        if options.json:
            print(json.dumps(lag.as_json(kafka.group_id, found)))
        else:
            console.print(lag.as_table(kafka.group_id, found))
    elif options.json:
        for found in lag.watch(reader.read, options.every):
            print(json.dumps(lag.as_json(kafka.group_id, found)), flush=True)
    else:
        with Live(console=console, auto_refresh=False) as live:
            for found in lag.watch(reader.read, options.every):
                live.update(lag.as_table(kafka.group_id, found), refresh=True)
    return 0


def _journey(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lanternpipe.kafka.search import RecordSearch
    from lanternpipe.ops.follow import Follower, Route
    from lanternpipe.ops.journey import as_json
    from lanternpipe.ops.journey_tree import as_tree
    from lanternpipe.topology import topic_names

    by_key = options.key is not None and options.at is not None
    if (options.place is None) != by_key or (options.key is None) != (options.at is None):
        raise ConfigError("journey: give either TOPIC/PARTITION/OFFSET, or both --key and --at")
    settings, pipeline, log = _open("journey", stream=sys.stderr)
    names = topic_names(settings, pipeline)
    outputs = (names.output, *(topic.name for topic in pipeline.also))
    search = RecordSearch(settings.kafka, log=log)
    try:
        follower = Follower(
            search,
            Route(names.input, outputs, names.dead_letters),
            settings.kafka.group_id,
            within=options.within,
        )
        found = (
            follower.by_key(os.fsencode(options.key), options.at)
            if by_key
            else follower.by_place(options.place)
        )
    finally:
        search.close()
    if options.json:
        print(json.dumps(as_json(found, show=options.show)))
    else:
        # What is not a terminal has no width, and lines that are whole can be searched.
        console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
        console.print(as_tree(found, show=options.show))
    return 0


def _health(options: argparse.Namespace) -> int:
    from lanternpipe.ops.health import address, ask

    answer = ask(*address(), "/livez" if options.live else "/readyz", options.timeout)
    print(json.dumps(answer.as_json()))
    return 0 if answer.ok else EXIT_UNHEALTHY


def _config(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lanternpipe.app import load_pipeline
    from lanternpipe.environment import load_app_settings, load_settings, unknown_variables
    from lanternpipe.ops import config
    from lanternpipe.telemetry import reference
    from lanternpipe.topology import from_pipeline

    settings = load_settings()
    pipeline = load_pipeline(settings.app)
    app_settings = load_app_settings(pipeline.settings)
    if options.signals:
        print(reference.as_markdown(), end="")
        return 0
    if options.markdown:
        print(config.as_markdown(settings, app_settings), end="")
        return 0
    found = config.in_force(settings, app_settings, from_pipeline(settings, pipeline))
    if options.json:
        print(json.dumps(config.as_json(found)))
    else:
        Console().print(*config.as_table(found, unknown_variables()), sep="\n")
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


def _open(service: str, stream: Any = None, *, background: bool = False) -> tuple[Any, Any, Any]:
    from lanternpipe.app import load_pipeline
    from lanternpipe.environment import load_settings, unknown_variables
    from lanternpipe.telemetry.logs import PipelineLog

    settings = load_settings()
    kept = settings.log
    if "logs" not in settings.telemetry:
        kept = kept.model_copy(update={"level": "error"})
    log = PipelineLog(kept, service=f"lanternpipe-{service}", stream=stream, background=background)
    for text in unknown_variables().values():
        log("warning", "setting_unknown", text=text)
    return settings, load_pipeline(settings.app), log


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lanternpipe",
        description="A real-time Kafka pipeline, observability first. Settings are environment "
        "variables: see `lanternpipe config`.",
        epilog="example:\n  lanternpipe demo --seconds 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(
        name: str, run: Callable[[argparse.Namespace], int], help_: str, example: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    def samples(added: argparse.ArgumentParser, *, rate: str, poison: float) -> None:
        added.add_argument(
            "--seconds", type=arguments.positive, help="for how long; by default no end"
        )
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

    added = verb(
        "demo",
        _demo,
        "Show the whole pipeline at work, on a broker in memory.",
        "lanternpipe demo --seconds 20",
    )
    samples(added, rate="1000", poison=0.02)
    added.add_argument("--broker", metavar="HOST:PORT", help="use this Kafka instead")
    added.add_argument("--picture", metavar="FILE", type=Path, help="keep the last board as SVG")

    added = verb(
        "produce",
        _produce,
        "Send sample events, or JSON lines, to the input topic.",
        "lanternpipe produce --rate 1000 --seconds 60 --poison 0.01",
    )
    samples(added, rate="100; max for --input", poison=0.0)
    added.add_argument("--count", type=arguments.count, help="how many; by default no end")
    added.add_argument("--large", action="store_true", help="poison may be a value of 900 kB")
    added.add_argument("--input", metavar="FILE", help="send these JSON lines; - reads from stdin")

    verb(
        "process",
        _process,
        "Process events from the input topic until stopped.",
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:9092 lanternpipe process",
    )

    added = verb(
        "topics",
        _topics,
        "Compare the topics on the broker with the declared ones (diff), or make them so (apply).",
        "lanternpipe topics apply",
    )
    added.add_argument("action", choices=("apply", "diff"))
    added.add_argument("--json", action="store_true", help="for programs")

    added = verb(
        "lag", _lag, "Show how far the consumer group is behind.", "lanternpipe lag --watch"
    )
    added.add_argument("--group", help="another group than the configured one")
    added.add_argument("--watch", action="store_true", help="again and again")
    added.add_argument("--every", type=arguments.positive, default=2.0, help="seconds (default 2)")
    added.add_argument("--json", action="store_true", help="for programs")

    added = verb(
        "journey",
        _journey,
        "Show what became of one event: its way from the input topic, with times and reasons.",
        "lanternpipe journey user-login/3/12345",
    )
    added.add_argument(
        "place",
        nargs="?",
        type=arguments.place,
        metavar="TOPIC/PARTITION/OFFSET",
        help="the event's place in the input topic",
    )
    added.add_argument("--key", help="instead of a place: the event's key")
    added.add_argument(
        "--at",
        type=arguments.time,
        metavar="TIME",
        help="... and from when on, as 2026-01-31T08:00:00Z",
    )
    added.add_argument(
        "--within",
        type=arguments.positive,
        metavar="SECONDS",
        help="how long after that time to search (default 60 for a key, 3600 for dead letters)",
    )
    added.add_argument("--show", action="store_true", help="print keys and values, personal data")
    added.add_argument("--json", action="store_true", help="for programs")

    added = verb(
        "health",
        _health,
        "Ask the processor on this machine whether it is ready; print its reason.",
        "PIPELINE_HTTP__PORT=9464 lanternpipe health --live",
    )
    added.add_argument("--live", action="store_true", help="whether it is alive instead")
    added.add_argument(
        "--timeout", type=arguments.positive, default=3.0, help="seconds (default 3)"
    )

    added = verb(
        "config", _config, "Show what is in force and where it comes from.", "lanternpipe config"
    )
    added.add_argument("--json", action="store_true", help="for programs")
    added.add_argument("--markdown", action="store_true", help="the reference of all settings")
    added.add_argument("--signals", action="store_true", help="the reference of metrics and logs")
    return parser
