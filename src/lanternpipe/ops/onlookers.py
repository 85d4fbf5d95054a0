"""Who else gets what is written to a topic of others, and whether that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from lanternpipe.errors import ConfigError


def warn(topic: str, groups: Sequence[str], *, tell: TextIO) -> None:
    """Say who reads a topic besides us."""
    others = ", ".join(groups) or "none known, but readers without a group do not show"
    print(
        f"lanternpipe: every reader of {topic} gets these records once more, also groups other "
        f"than ours: {others}",
        file=tell,
    )


def confirm(topic: str, *, ask: TextIO, tell: TextIO) -> None:
    """Return if a person says yes.

    Raises:
        ConfigError: Nobody can be asked, or the answer is no.
    """
    if not (ask.isatty() and tell.isatty()):
        raise ConfigError(f"to write to {topic} when nobody can be asked, add --yes")
    print("Go on? [y/N] ", end="", file=tell, flush=True)
    if ask.readline().strip().lower() not in {"y", "yes"}:
        raise ConfigError("nothing was replayed")
