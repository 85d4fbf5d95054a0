"""The command line: verbs only, no logic."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from lanternpipe.cli import dlq, operate, run
from lanternpipe.cli.verb import Verbs
from lanternpipe.errors import ConfigError, LanternpipeError, RefusedFailure, RetriableFailure
from lanternpipe.exit_codes import exit_code
from lanternpipe.version import VERSION


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, 0 only on success."""
    options = _parser().parse_args(words)
    act: Callable[[argparse.Namespace], int] = options.run
    try:
        return act(options)
    except LanternpipeError as error:
        text = str(error)
        if isinstance(error, RetriableFailure):
            error, text = _looked_into(error)
        for line in text.splitlines():
            print(f"lanternpipe: {line}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _looked_into(failure: RetriableFailure) -> tuple[LanternpipeError, str]:
    """Find out whether nobody is there, or somebody who does not let us in."""
    from lanternpipe.environment import load_settings
    from lanternpipe.kafka.entry import why_not

    try:
        kafka = load_settings().kafka
        denial = why_not(kafka)
    except ConfigError:  # files that are just being replaced
        return failure, str(failure)
    if denial:
        refused = RefusedFailure(*denial)
        return refused, str(refused)
    asked = f"asked {kafka.bootstrap_servers}; is PIPELINE_KAFKA__BOOTSTRAP_SERVERS right?"
    return failure, f"{failure}; {asked}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lanternpipe",
        description="A real-time Kafka pipeline, observability first. Settings are environment "
        "variables: see `lanternpipe config`.",
        epilog="example:\n  lanternpipe demo --seconds 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = Verbs(parser)
    run.add(verbs)
    operate.add(verbs)
    dlq.add(verbs)
    return parser
