"""The verbs for dead letters: stats, peek, replay."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from lanternpipe import arguments
from lanternpipe.cli.verb import WIDTH_OF_FILES, Verbs, opened
from lanternpipe.errors import ConfigError


def add(verbs: Verbs) -> None:
    """Add them to the parser."""
    below = verbs.group(
        "dlq",
        "Look at the dead letters, and send them back to be processed.",
        "lanternpipe dlq stats",
    )

    added = below.add(
        "stats",
        _stats,
        "Count the dead letters that wait: by reason, stage, version and age.",
        "lanternpipe dlq stats",
    )
    _filters(added)
    added.add_argument("--all", action="store_true", help="count those replayed before as well")

    added = below.add(
        "peek",
        _peek,
        "Show single dead letters: where they come from, why they failed, what is wrong now.",
        "lanternpipe dlq peek --reason invalid --count 3",
    )
    _filters(added)
    added.add_argument("--count", type=arguments.count, default=10, help="how many (default 10)")
    added.add_argument("--oldest", action="store_true", help="the oldest instead of the newest")
    added.add_argument("--all", action="store_true", help="show those replayed before as well")
    added.add_argument("--show", action="store_true", help="print keys and values, personal data")

    added = below.add(
        "replay",
        _replay,
        "Send dead letters back to be processed, each exactly once; may be killed and run again.",
        "lanternpipe dlq replay --reason invalid --dry-run",
    )
    _filters(added)
    target = added.add_mutually_exclusive_group()
    target.add_argument("--to", metavar="TOPIC", help="write to this topic, not the replay topic")
    target.add_argument(
        "--to-origin",
        action="store_true",
        help="write to the input topic, whose other readers get the records once more",
    )
    added.add_argument("--yes", action="store_true", help="do not ask before --to-origin")
    added.add_argument("--dry-run", action="store_true", help="write nothing")
    added.add_argument("--max", type=arguments.count, metavar="N", help="at most so many letters")
    added.add_argument(
        "--rate", type=arguments.rate, metavar="N", help="letters per second (default max)"
    )
    added.add_argument(
        "--again", action="store_true", help="replay letters that have been replayed before, too"
    )
    added.add_argument(
        "--max-replays",
        type=arguments.count,
        default=3,
        metavar="N",
        help="leave out records that have been replayed so often (default 3)",
    )
    added.add_argument(
        "--mend", metavar="MODULE:FUNCTION", help="gets each letter, returns the value to send"
    )


def _filters(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--reason", action="append", default=[], help="only such letters; may be given repeatedly"
    )
    added.add_argument("--key", help="only letters with this key")
    added.add_argument(
        "--since",
        type=arguments.time,
        metavar="TIME",
        help="only letters written from then on, as 2026-01-31T08:00:00Z",
    )
    added.add_argument(
        "--until", type=arguments.time, metavar="TIME", help="only letters written before"
    )
    added.add_argument("--json", action="store_true", help="for programs")


def _stats(options: argparse.Namespace) -> int:
    import time

    from rich.console import Console

    from lanternpipe.ops import dlq_stats

    settings, pipeline, log = opened("dlq", stream=sys.stderr)
    search, box = _mailbox(settings, pipeline, log)
    try:
        found = dlq_stats.count(
            box.letters(_asked(options)), box.marks(), time.time(), marked_too=options.all
        )
    finally:
        search.close()
    if options.json:
        print(json.dumps(found.as_json()))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
        console.print(dlq_stats.as_table(box.topic, found, marked_too=options.all))
    return 0


def _peek(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lanternpipe.app import explainer
    from lanternpipe.ops import dlq_peek

    settings, pipeline, log = opened("dlq", stream=sys.stderr)
    search, box = _mailbox(settings, pipeline, log)
    try:
        found = dlq_peek.look(
            box.letters(_asked(options)),
            box.marks(),
            explainer(pipeline),
            most=options.count,
            oldest=options.oldest,
            marked_too=options.all,
        )
    finally:
        search.close()
    if options.json:
        print(json.dumps(dlq_peek.as_json(found, show=options.show)))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
        console.print(dlq_peek.as_text(box.topic, found, marked_too=options.all, show=options.show))
    return 0


def _replay(options: argparse.Namespace) -> int:
    import uuid

    from lanternpipe.access import transactional_id_of_replays
    from lanternpipe.kafka.config import transactional_config
    from lanternpipe.kafka.groups import groups_on
    from lanternpipe.kafka.producer import TransactionalProducer
    from lanternpipe.ops import onlookers
    from lanternpipe.ops.mending import load_mend
    from lanternpipe.ops.replay import Replayer, Tally
    from lanternpipe.ops.replay_plan import Order
    from lanternpipe.topology import byte_limits, topic_names

    settings, pipeline, log = opened("dlq", stream=sys.stderr)
    names = topic_names(settings, pipeline)
    to = names.input if options.to_origin else options.to or names.replay
    if to in {names.dead_letters, names.marks}:
        raise ConfigError(f"--to {to}: letters cannot be replayed to their own topics")
    order = Order(
        to,
        names.input if options.to_origin else None,
        _asked(options),
        again=options.again,
        max_replays=options.max_replays,
        most=options.max,
        rate=options.rate,
        batch=settings.batch_records,
        dry=options.dry_run,
    )
    mend = load_mend(options.mend) if options.mend else None
    search, box = _mailbox(settings, pipeline, log)
    sink = None
    on_terminal = sys.stderr.isatty()

    def progress(tally: Tally) -> None:
        if on_terminal:
            speed = tally.replayed / tally.seconds if tally.seconds else 0.0
            counts = f"{tally.replayed:,} replayed, {tally.skipped.total():,} skipped"
            # Back to the begin of the line, which whatever comes next may write over.
            print(f"{counts}, {speed:,.0f}/s \x1b[K", end="\r", file=sys.stderr, flush=True)

    try:
        search.partitions(to)
        if to == names.input:
            groups = groups_on(settings.kafka, to, log=log)
            onlookers.warn(to, groups, tell=sys.stderr)
            if not order.dry and not options.yes:
                onlookers.confirm(to, ask=sys.stdin, tell=sys.stderr)
        if not order.dry:
            # One for all runs: whoever begins fences who still runs, and ends what was left open.
            config = transactional_config(
                settings.kafka,
                byte_limits(pipeline),
                transactional_id=transactional_id_of_replays(names),
            )
            sink = TransactionalProducer(config, log=log)
        run = uuid.uuid4().hex[:12]
        replayer = Replayer(
            box, names.marks, sink, order, run=run, log=log, mend=mend, progress=progress
        )
        tally = replayer.run()
    finally:
        if on_terminal:
            print(end="\x1b[K", file=sys.stderr, flush=True)
        if sink is not None:
            sink.close(timeout=2.0)
        search.close()
    if options.json:
        told = {"run": run, "to": to, "dry_run": order.dry, **tally.as_json(dry=order.dry)}
        print(json.dumps(told))
    else:
        print(*tally.lines(to, dry=order.dry), sep="\n")
    return 0


def _asked(options: argparse.Namespace) -> Any:
    from lanternpipe.ops.mailbox import Filters

    key = None if options.key is None else os.fsencode(options.key)
    return Filters(frozenset(options.reason), key, options.since, options.until)


def _mailbox(settings: Any, pipeline: Any, log: Any) -> tuple[Any, Any]:
    from lanternpipe.kafka.search import RecordSearch
    from lanternpipe.ops.mailbox import Mailbox
    from lanternpipe.topology import topic_names

    names = topic_names(settings, pipeline)
    search = RecordSearch(settings.kafka, log=log)
    return search, Mailbox(search, names.dead_letters, names.marks)
