"""Rules on a faster clock: the same rules, with nothing but their durations divided. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "w": 7 * 86_400.0,
    "y": 365 * 86_400.0,
}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
# What a duration stands in: a range, a subquery, an offset. Strings and comments come first, so
# that what looks like one within them is left alone.
_PLACES = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\#[^\n]*)"""
    rf"|\[\s*(?P<range>{_DURATION})\s*(?P<colon>:\s*(?P<step>{_DURATION})?\s*)?\]"
    rf"|\boffset\s+(?P<sign>-?)(?P<offset>{_DURATION})"
)


@dataclass(frozen=True)
class Clock:
    """How much faster time goes.

    Attributes:
        factor: What durations are divided by.
        window: The shortest time that a range, or a `for`, may become, in seconds: some scrapes,
            since a rate needs two and one may be late.
        step: The shortest step of a subquery and the shortest interval of a group, in seconds.
    """

    factor: float
    window: float
    step: float


def shortened(rules: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Return a rule file on a faster clock; names, labels, annotations and thresholds stay.

    Args:
        rules: The file, as YAML has it.
        clock: How much faster.
    """
    return {**rules, "groups": [_group(group, clock) for group in rules["groups"]]}


def shortened_expression(expression: str, clock: Clock) -> str:
    """Return a PromQL expression with its ranges, steps and offsets shortened."""

    def replaced(found: re.Match[str]) -> str:
        if found["text"]:
            return found[0]
        if found["offset"]:
            return f"offset {found['sign']}{shortened_duration(found['offset'], clock, 0.0)}"
        length = shortened_duration(found["range"], clock, clock.window)
        step = shortened_duration(found["step"], clock, clock.step) if found["step"] else ""
        return f"[{length}:{step}]" if found["colon"] else f"[{length}]"

    return _PLACES.sub(replaced, expression)


def shortened_duration(text: str, clock: Clock, floor: float) -> str:
    """Return a duration divided, and no less than a floor in seconds; zero stays zero."""
    given = seconds(text)
    short = max(floor, given / clock.factor) if given else 0.0
    return f"{round(short * 1_000)}ms"


def seconds(text: str) -> float:
    """Return a duration as Prometheus writes it, such as ``1h30m``, in seconds.

    Raises:
        ValueError: It is none.
    """
    if text == "0":
        return 0.0
    if not re.fullmatch(_DURATION, text):
        raise ValueError(f"no duration: {text}")
    return sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))


def _group(group: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    short = {**group, "rules": [_rule(rule, clock) for rule in group["rules"]]}
    if "interval" in group:
        short["interval"] = shortened_duration(group["interval"], clock, clock.step)
    if "query_offset" in group:
        short["query_offset"] = shortened_duration(group["query_offset"], clock, 0.0)
    return short


def _rule(rule: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    short = {**rule, "expr": shortened_expression(str(rule["expr"]), clock)}
    for key in ("for", "keep_firing_for"):
        if key in rule:
            short[key] = shortened_duration(str(rule[key]), clock, clock.window)
    return short
