"""The verbs of those who run a pipeline: topics, lag, journey, health, config, certs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from lanternpipe import arguments
from lanternpipe.cli.verb import WIDTH_OF_FILES, Verbs, opened
from lanternpipe.errors import ConfigError

EXIT_DIFFERS = 1
EXIT_UNHEALTHY = 1
WATCH_EVERY, SERVE_EVERY = 2.0, 5.0  # seconds
DOCTOR_SECONDS = 3.0


def add(verbs: Verbs) -> None:
    """Add them to the parser."""
    added = verbs.add(
        "topics",
        _topics,
        "Compare the topics on the broker with the declared ones (diff), or make them so (apply).",
        "lanternpipe topics apply",
    )
    added.add_argument("action", choices=("apply", "diff"))
    added.add_argument("--acls", action="store_true", help="the rights of our users as well")
    added.add_argument(
        "--principal",
        action="append",
        default=[],
        metavar="ROLE=User:NAME",
        help="who is producer, processor, replayer or observer (default User:ROLE)",
    )
    added.add_argument(
        "--prune", action="store_true", help="take back their rights that are not declared"
    )
    added.add_argument("--json", action="store_true", help="for programs")

    added = verbs.add(
        "lag", _lag, "Show how far the consumer group is behind.", "lanternpipe lag --watch"
    )
    added.add_argument("--group", help="another group than the configured one")
    added.add_argument("--watch", action="store_true", help="again and again")
    added.add_argument(
        "--serve", action="store_true", help="as metrics, with probes, on PIPELINE_HTTP__PORT"
    )
    added.add_argument(
        "--every", type=arguments.positive, help="seconds (default 2, with --serve 5)"
    )
    added.add_argument("--json", action="store_true", help="for programs")

    added = verbs.add(
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

    added = verbs.add(
        "health",
        _health,
        "Ask the processor on this machine whether it is ready; print its reason.",
        "PIPELINE_HTTP__PORT=9464 lanternpipe health --live",
    )
    added.add_argument("--live", action="store_true", help="whether it is alive instead")
    added.add_argument(
        "--timeout", type=arguments.positive, default=3.0, help="seconds (default 3)"
    )

    added = verbs.add(
        "doctor",
        _doctor,
        "Try all that has to be right, from names and ports to rights and clocks; change nothing.",
        "lanternpipe doctor",
    )
    added.add_argument("--json", action="store_true", help="for programs")

    added = verbs.add(
        "config", _config, "Show what is in force and where it comes from.", "lanternpipe config"
    )
    added.add_argument("--json", action="store_true", help="for programs")
    added.add_argument("--markdown", action="store_true", help="the reference of all settings")
    added.add_argument("--signals", action="store_true", help="the reference of metrics and logs")

    added = verbs.add(
        "certs",
        _certs,
        "Make certificates for development: an authority, a broker's and one for each client.",
        "lanternpipe certs --out certs --host broker.localdomain",
    )
    added.add_argument(
        "--out", type=Path, default=Path("certs"), metavar="FOLDER", help="where (default certs)"
    )
    added.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or address of the broker besides kafka, localhost, 127.0.0.1; several times",
    )
    added.add_argument(
        "--client",
        action="append",
        default=[],
        metavar="NAME",
        help="a client; several times (default producer, processor, replayer, observer)",
    )
    added.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="NAME",
        help="a host besides the broker's, as for the port of metrics; several times",
    )
    added.add_argument(
        "--days",
        type=arguments.positive,
        default=60.0,
        help="how long new ones are in force (default 60); the authority is for 365",
    )
    added.add_argument("--rotate", action="store_true", help="issue new ones by the same authority")
    added.add_argument("--json", action="store_true", help="for programs")


def _topics(options: argparse.Namespace) -> int:
    from lanternpipe.access import declared_acls, principals
    from lanternpipe.ops.topics import diff, diff_acls, make_acls_so, make_so
    from lanternpipe.topology import declared_topics, topic_names

    if (options.principal or options.prune) and not options.acls:
        raise ConfigError("topics: --principal and --prune go with --acls")
    if options.prune and options.action == "diff":
        raise ConfigError("topics: --prune goes with apply")
    who = principals(options.principal)
    settings, pipeline, log = opened("topics", stream=sys.stderr)
    names = topic_names(settings, pipeline)
    run = make_so if options.action == "apply" else diff
    report = run(
        settings.kafka, declared_topics(settings, pipeline), names.input, names.output, log=log
    )
    told, lines, differs = report.as_json(), [*report.lines()], bool(report.differences)
    if options.acls:
        declared = declared_acls(settings, pipeline, who)
        rights = (
            make_acls_so(settings.kafka, declared, prune=options.prune, log=log)
            if options.action == "apply"
            else diff_acls(settings.kafka, declared, log=log)
        )
        told["acls"] = rights.as_json()
        lines += rights.lines()
        differs = differs or rights.differs
    print(json.dumps(told) if options.json else "\n".join(lines))
    return EXIT_DIFFERS if differs else 0


def _lag(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live

    from lanternpipe.ops import lag
    from lanternpipe.topology import topic_names

    if options.serve and (options.watch or options.json):
        raise ConfigError("lag: --serve goes with neither --watch nor --json")
    settings, pipeline, log = opened("lag", stream=sys.stderr)
    kafka = settings.kafka
    if options.group:
        kafka = kafka.model_copy(update={"group_id": options.group})
    names = topic_names(settings, pipeline)
    if options.serve:
        from lanternpipe.witness import serve_lag

        topics = (names.input, names.replay)
        serve_lag(settings, kafka, topics, log, every=options.every or SERVE_EVERY)
        return 0
    every = options.every or WATCH_EVERY
    reader = lag.LagReader(kafka, [names.input], log=log)
    console = Console()
    if not options.watch:
        found = reader.read()
        if options.json:
            print(json.dumps(lag.as_json(kafka.group_id, found)))
        else:
            console.print(lag.as_table(kafka.group_id, found))
    elif options.json:
        for found in lag.watch(reader.read, every):
            print(json.dumps(lag.as_json(kafka.group_id, found)), flush=True)
    else:
        with Live(console=console, auto_refresh=False) as live:
            for found in lag.watch(reader.read, every):
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
    settings, pipeline, log = opened("journey", stream=sys.stderr)
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
    from lanternpipe.ops.health import access, address, ask

    path = "/livez" if options.live else "/readyz"
    answer = ask(*address(), path, options.timeout, access())
    print(json.dumps(answer.as_json()))
    return 0 if answer.ok else EXIT_UNHEALTHY


def _doctor(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lanternpipe.app import processor_access
    from lanternpipe.ops import doctor
    from lanternpipe.telemetry.setup import takes_spans
    from lanternpipe.topology import declared_topics, topic_names

    settings, pipeline, log = opened("doctor", stream=sys.stderr)
    names = topic_names(settings, pipeline)
    patient = doctor.Patient(
        settings,
        declared_topics(settings, pipeline),
        names.input,
        names.output,
        processor_access(settings, pipeline),
    )
    found = []
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
    for each in doctor.examine(patient, collector=lambda: takes_spans(DOCTOR_SECONDS), log=log):
        found.append(each)
        if not options.json:
            console.print(*doctor.lines(each), sep="\n", soft_wrap=True, markup=False)
    if options.json:
        print(json.dumps([each._asdict() for each in found]))
    return EXIT_DIFFERS if doctor.worst(found) == "problem" else 0


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


def _certs(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from lanternpipe.ops.certs import make_certs

    report = make_certs(
        options.out,
        options.host,
        options.client,
        options.server,
        now=datetime.now(UTC),
        days=options.days,
        rotate=options.rotate,
    )
    if options.json:
        print(json.dumps(report.as_json()))
    else:
        print(*report.lines(), sep="\n")
    return 0
