"""What a run is held to, and whether it held. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import msgspec

from loadtest.lanes import Account
from loadtest.latencies import Latencies
from loadtest.profile import Limits, Profile
from loadtest.search import Found
from loadtest.slope import Slope
from loadtest.tally import Tally

GROWTH_SECONDS = 300.0  # a slope of less than minutes says nothing
WITHHELD = 0.01  # share of what was due that a generator may fail to send
LAG_SECONDS = 3  # by which a generator may follow the plan late, or end late
NEVER = 0.1  # share of what is planned that may never come due, as a generator begins late
BEGIN_SECONDS = 1.5  # which it takes to begin, however short the run
WATCHED = 0.8  # share of the seconds in which somebody has to have looked
BUSY_SECONDS = 5  # in which a reader that is the bottleneck shows
BUSY_CORES = 0.95
COUNT_GROWTH = 10.0  # files, or threads, per hour


class Finding(msgspec.Struct, frozen=True):
    """One thing that was to hold.

    Attributes:
        words: What.
        value: What was seen.
        limit: What was asked.
        holds: Whether it does.
    """

    words: str
    value: str
    limit: str
    holds: bool


def at_most(words: str, value: float | None, limit: float, unit: str = "") -> Finding:
    """Find that a value is not above a limit; what was not seen does not hold."""
    shown = "nothing was seen" if value is None else f"{value:,g}{unit}"
    return Finding(words, shown, f"≤ {limit:,g}{unit}", value is not None and value <= limit)


def of_generator(
    profile: Profile,
    counted: Mapping[str, Latencies],
    tally: Tally,
    account: Account,
    *,
    offered: Sequence[int],
    silent: int,
    by_hand: bool,
    saturation: Found | None,
) -> list[Finding]:
    """Hold the generator against what is asked; where it gave way, the rest says little."""
    found = [
        at_most("generators that have not said what they sent", silent, 0),
        at_most("records of generators that have not", account.unknown, 0),
    ]
    if saturation is not None:  # which goes to where the generator or the pipeline gives way
        return found
    if not by_hand:
        never = max(0, profile.planned - account.due)
        limit = round(max(NEVER * profile.planned, BEGIN_SECONDS * profile.rate))
        found.append(at_most("the generator kept up: planned and never due", never, limit))
        away = away_from(profile, offered)
        words = f"the generator kept up: away from the plan of {LAG_SECONDS} s before or after"
        found.append(at_most(words, away, round(WITHHELD * profile.planned)))
    withheld = 1 - account.sent / account.due if account.due else 1.0
    late = counted["delay"].percentile(0.99)
    return [
        *found,
        at_most(
            "the generator kept up: due and not sent",
            round(100 * withheld, 1),
            100 * WITHHELD,
            " %",
        ),
        at_most(
            "the generator kept up: p99 of the send delay", late, profile.limits.late_ms, " ms"
        ),
        at_most("all told what was sent", abs(tally.total("sent") - account.sent), 0),
    ]


def away_from(profile: Profile, offered: Sequence[int]) -> int:
    """Return by how many records what was due was ever short of the plan, or beyond it.

    Args:
        profile: The plan.
        offered: What was due, second by second, from the start on.
    """
    most, end = 0, int(profile.seconds)
    dues = [*offered, *[0] * (end - len(offered))]
    plan = [*accumulate(map(profile.planned_in, range(len(dues) + LAG_SECONDS)))]
    for at, due in enumerate(accumulate(dues)):
        behind = min(at, end - 1) - LAG_SECONDS
        short = (plan[behind] if behind >= 0 else 0) - due
        most = max(most, short, due - plan[at + LAG_SECONDS])
    return most


def of_reader(cores: Sequence[float], seconds: float) -> list[Finding]:
    """Find whether who sees the outputs had time to: its lateness would be the pipeline's.

    Args:
        cores: What it used, second by second.
        seconds: For how long there was something to see.
    """
    if len(cores) < WATCHED * (seconds - 2):
        asked = f"≥ {WATCHED:.0%} of {seconds:,.0f} s"
        return [Finding("the reader was watched", f"{len(cores):,} s", asked, holds=False)]
    runs = [cores[at : at + BUSY_SECONDS] for at in range(len(cores) - BUSY_SECONDS + 1)]
    if not runs:
        return []
    busiest = max(sum(run) / BUSY_SECONDS for run in runs)
    words = f"the reader kept up: of a core, in its busiest {BUSY_SECONDS} s"
    return [at_most(words, round(busiest, 2), BUSY_CORES)]


def of_records(profile: Profile, tally: Tally, account: Account, delivery: str) -> list[Finding]:
    """Find whether every record came once and in order, as what it is."""
    found = [
        at_most("undelivered records", account.undelivered, 0),
        at_most("lost records", account.lost, 0),
    ]
    if delivery == "exactly-once":
        found.append(at_most("records seen twice", account.duplicates, 0))
        found.append(at_most("records out of order within their key", account.reordered, 0))
    poison, dead = tally.total("poison"), tally.total("dead")
    if profile.poison:
        found.append(Finding("broken records sent", f"{poison:,}", "≥ 1", poison > 0))
    return [
        *found,
        Finding("dead letters", f"{dead:,}", f"= {poison:,} broken records", dead == poison),
        at_most("good records as dead letters, or broken ones as outputs", account.misjudged, 0),
    ]


def of_pipeline(
    profile: Profile,
    counted: Mapping[str, Latencies],
    drained: int,
    growth: Mapping[str, Slope],
    saturation: Found | None,
    unwilling: Sequence[str],
) -> list[Finding]:
    """Hold the pipeline against what is asked."""
    limits: Limits = profile.limits
    found = []
    if limits.p99_ms is not None and saturation is None:
        p99 = counted["end_to_end"].percentile(0.99)
        words = "p99 from the intended time to the sight of the output"
        found.append(at_most(words, p99, limits.p99_ms, " ms"))
    found.append(at_most("drained after the end", drained, limits.drain_seconds, " s"))
    found.append(at_most("processes that did not end well when asked", len(unwilling), 0))
    if limits.growth_mib_per_hour is not None:
        if not growth:
            asked = f"≥ {GROWTH_SECONDS:,g} s after the warm-up"
            found.append(Finding("growth can be told", "too short", asked, holds=False))
        for name, line in growth.items():
            limit = limits.growth_mib_per_hour if name.endswith("MiB") else COUNT_GROWTH
            most = line.per_unit + line.confidence
            words = f"{name} per hour, at the upper end of its confidence"
            found.append(at_most(words, round(most, 1), limit))
    if saturation is not None:
        words = "a rate was found that holds for half a minute"
        found.append(Finding(words, f"{saturation.best:,.0f}/s", "> 0", saturation.best > 0))
    return found
