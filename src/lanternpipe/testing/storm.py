"""Lets anything go wrong in a drill, by chance."""

from __future__ import annotations

from random import Random
from typing import Any

from lanternpipe.testing.mishaps import CRASH_POINTS, Call, Kind
from lanternpipe.testing.trouble import Trouble

GUSTS = 0.6  # share of turns in which something happens
KINDS = ("crash", "revoke", "lose", "duplicate", "hamper", "torn", "fail", "fail", "fail")


def gust(random: Random, drill: Trouble[Any], *, exactly_once: bool) -> None:
    """Let something go wrong, or nothing."""
    if random.random() >= GUSTS:
        return
    match random.choice(KINDS):
        case "crash":
            drill.crash(random.choice(CRASH_POINTS))
        case "revoke":
            drill.rebalance()
        case "lose":
            drill.rebalance(lost=True)
        case "duplicate":
            drill.duplicate(random.randint(1, 5))
        case "hamper":
            seeks, fetches = random.randint(0, 2), random.randint(0, 2)
            drill.hamper(seeks=seeks, fetches=fetches, disturbed=random.random() < 0.5)
        case "torn" if exactly_once:
            # In doubt, and then failed for good, whether it was carried out or not.
            drill.fail("commit", "doubtful", carried_out=random.random() < 0.5)
            drill.fail("commit", random.choice(("abortable", "fenced")))
        case _:
            _fail(random, drill, exactly_once=exactly_once)


def _fail(random: Random, drill: Trouble[Any], *, exactly_once: bool) -> None:
    kinds: tuple[Kind, ...] = ("retriable", "doubtful", "abortable", "fenced")
    asked: tuple[Call, ...] = ("init", "committed", "start_at")
    if not exactly_once:
        calls: tuple[Call, ...] = ("commit_offsets", "commit_offsets", *asked[1:])
        kinds = kinds[:3]
    else:
        calls = ("send", "send_offsets", "commit", "commit", "abort", *asked)
    call = random.choice(calls)
    if call in asked:
        kinds = kinds[:1]
    elif call == "send":
        kinds = kinds[2:]
    kind = random.choice(kinds)
    drill.fail(call, kind, carried_out=kind == "doubtful" and random.random() < 0.5)
