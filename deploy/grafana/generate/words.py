"""The words that all panels share: units, colours, thresholds and the filters of the variables."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

SOURCES: Final = ("prometheus", "tempo", "loki", "alertmanager")  # the uids, which are also kinds
Source = Literal["prometheus", "tempo", "loki"]

# Units as Grafana names them.
SECONDS: Final = "s"
MICROSECONDS: Final = "µs"
MILLISECONDS: Final = "ms"
RECORDS: Final = "short"
COUNT: Final = "none"
RECORDS_PER_SECOND: Final = "recps"
PER_SECOND: Final = "cps"
SHARE: Final = "percentunit"
BYTES: Final = "bytes"
BYTES_PER_SECOND: Final = "Bps"
BURN: Final = "suffix: x"

GREEN, YELLOW, ORANGE, RED = "#73BF69", "#FADE2A", "#FF9830", "#F2495C"
BLUE, LIGHT_BLUE, PURPLE, GREY = "#5794F2", "#8AB8FF", "#B877D9", "#8E8E8E"

LEVELS: Final = {"debug": GREY, "info": BLUE, "warning": ORANGE, "error": RED}

# One colour for each value of a label, on every board.
COLOURS: Final[dict[str, dict[str, str]]] = {
    "outcome": {
        "processed": GREEN,
        "filtered": LIGHT_BLUE,
        "retried": YELLOW,
        "dead_lettered": RED,
        "duplicate": PURPLE,
        "abandoned": ORANGE,
    },
    "cause": {
        "input": ORANGE,
        "pipeline": RED,
        "broker": PURPLE,
        "rebalance": LIGHT_BLUE,
        "retry": YELLOW,
    },
    "point": {"polled": GREEN, "processed": BLUE, "acked": PURPLE},
    "phase": {
        "poll": "#37474F",
        "decode": LIGHT_BLUE,
        "lookup": "#FF7383",
        "transform": GREEN,
        "encode": BLUE,
        "send": PURPLE,
        "backpressure": RED,
        "commit": ORANGE,
        "other": GREY,
    },
    "level": LEVELS,
    "severity_text": LEVELS,  # as a log record calls it
    "fate": {"exported": GREEN, "dropped": RED, "capped": ORANGE},
    "event": {"assigned": GREEN, "revoked": ORANGE, "lost": RED},
    "": {"inside": BLUE, "outside": ORANGE, "limit": RED},
}


class Step(NamedTuple):
    """From which value on a colour holds; None is for all below the next."""

    value: float | None
    colour: str


Steps = tuple[Step, ...]
PLAIN: Final[Steps] = (Step(None, BLUE),)  # no value of it is bad in itself
ZERO_IS_GOOD: Final[Steps] = (Step(None, GREEN), Step(0.000_001, RED))
ONE_IS_GOOD: Final[Steps] = (Step(None, RED), Step(1, GREEN))


def rising(warning: float, bad: float) -> Steps:
    """Return steps of something of which more is worse."""
    return (Step(None, GREEN), Step(warning, ORANGE), Step(bad, RED))


def falling(bad: float, warning: float) -> Steps:
    """Return steps of something of which less is worse: bad below the first, good from the last."""
    return (Step(None, RED), Step(bad, ORANGE), Step(warning, GREEN))


def filtered(expression: str) -> str:
    """Return an expression with its short filters written out.

    ``<G>`` is the chosen groups, ``<C>`` the same under the name that messaging metrics have for
    it, ``<I>`` the chosen instances, and ``<R>`` the range of a rate.
    """
    for short, full in _FILTERS.items():
        expression = expression.replace(short, full)
    return " ".join(expression.split())


_FILTERS: Final = {
    "<G>": 'group=~"$group"',
    "<C>": 'messaging_consumer_group_name=~"$group"',
    "<I>": 'instance=~"$instance"',
    "<R>": "[$__rate_interval]",
}
