"""How numbers, times and bytes are written for people. Pure."""

from __future__ import annotations

NO_VALUE = "(no value: a tombstone)"
EMPTY = "(empty)"


def rate(per_second: float) -> str:
    """Return a rate, such as ``1,000/s``; with a decimal below ten."""
    if 0 < per_second < 10:
        return f"{per_second:.1f}/s"
    return f"{per_second:,.0f}/s"


def milliseconds(amount: float | None) -> str:
    """Return a duration in few characters: ``38 ms``, ``1.2 s``, or ``-`` when it is unknown."""
    if amount is None:
        return "-"
    return f"{amount:.0f} ms" if amount < 1_000 else f"{amount / 1_000:,.1f} s"


def minutes(seconds: float) -> str:
    """Return a running time, such as ``1:05``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def records(count: int) -> str:
    """Return ``1 record`` or ``2 records``."""
    return f"{count:,} record{'' if count == 1 else 's'}"


def shortened(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` characters."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def readable(value: bytes | None, limit: int) -> str:
    """Return bytes as one line of text that cannot disturb a terminal.

    Args:
        value: May be anything that somebody sent.
        limit: Most characters.
    """
    if value is None:
        return NO_VALUE
    if not value:
        return EMPTY
    text = value[: limit + 1].decode("utf-8", "backslashreplace")
    return shortened("".join(c if c.isprintable() else repr(c)[1:-1] for c in text), limit)


def excerpt(text: str, width: int, around: str) -> str:
    """Return at most ``width`` characters of ``text``, with ``around`` among them if it occurs."""
    start = max(0, text.find(around)) if around else 0
    if start + len(around) < width - 1:
        return shortened(text, width)
    return "…" + shortened(text[start - width // 3 :], width - 1)
