"""How content that somebody has sent is shown on a terminal. Pure."""

from __future__ import annotations

from lanternpipe.ops.journey import text_of

MOST_SHOWN = 2_000  # characters of a key or value; a value may have megabytes


def size(content: bytes | None) -> str:
    """Return how large a key or value is."""
    return "none" if content is None else f"{len(content):,} B"


def readable(content: bytes | None) -> str:
    """Return a key or value as one line of text, cut where it is long."""
    if content is None:
        return "(none)"
    cut = content[: 4 * MOST_SHOWN]
    text = printable(text_of(cut) or "")
    return text if len(text) <= MOST_SHOWN and cut == content else text[:MOST_SHOWN] + "…"


def printable(text: str) -> str:
    """Return text as one line that cannot disturb a terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
