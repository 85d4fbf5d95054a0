"""What all verbs share: how one is added to the parser, and how settings are opened."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

WIDTH_OF_FILES = 10_000  # characters; what is no terminal has no width of its own


class Verbs:
    """Adds verbs to a parser.

    Args:
        parser: Gets them.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._added = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        self, name: str, run: Callable[[argparse.Namespace], int], help_: str, example: str
    ) -> argparse.ArgumentParser:
        """Add one verb; its help says what it does and shows an example."""
        added = self._parser(name, help_, example)
        added.set_defaults(run=run)
        return added

    def group(self, name: str, help_: str, example: str) -> Verbs:
        """Add a verb that has verbs of its own."""
        return Verbs(self._parser(name, help_, example))

    def _parser(self, name: str, help_: str, example: str) -> argparse.ArgumentParser:
        return self._added.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def opened(service: str, stream: Any = None, *, background: bool = False) -> tuple[Any, Any, Any]:
    """Return the settings, the pipeline and the log of one of our programs."""
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
