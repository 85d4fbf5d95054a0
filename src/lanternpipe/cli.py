"""The command line: verbs only, no logic."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from lanternpipe.errors import ConfigError, FatalFailure, KafkaFailure, LanternpipeError, OffsetError, TopicError
from lanternpipe.version import VERSION

# One code for each thing that a supervisor or a person would do differently.
EXIT_CODES: tuple[tuple[type[LanternpipeError], int], ...] = (
    (ConfigError, 2),  # correct the settings; starting again does not help
    (TopicError, 3),  # create the topics
    (OffsetError, 4),  # records were lost on the broker: a person decides
    (FatalFailure, 5),  # start again
    (KafkaFailure, 6),  # the broker did not answer
    (LanternpipeError, 1),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, 0 only on success."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except LanternpipeError as error:
        for line in str(error).splitlines():
            print(f"lanternpipe: {line}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; do not complain when the interpreter flushes.
        sys.stderr.close()
        return 0


def _process(_: argparse.Namespace) -> int:
    from lanternpipe.app import load_pipeline, process
    from lanternpipe.settings import load_settings
    from lanternpipe.telemetry.logs import open_log

    settings = load_settings()
    log = open_log(settings.log, service="lanternpipe-processor")
    process(settings, load_pipeline(settings.app), log)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lanternpipe")
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(required=True)
    p = verbs.add_parser("process")
    p.set_defaults(run=_process)
    return parser
