"""What a run comes to, from what Locust, the reader and the watch have left. Pure.

Latencies count from the intended time, after the warm-up; every record of the run is accounted for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec

from loadtest.findings import (
    GROWTH_SECONDS,
    WATCHED,
    Finding,
    of_generator,
    of_pipeline,
    of_reader,
    of_records,
)
from loadtest.lanes import Account
from loadtest.latencies import Latencies
from loadtest.profile import Profile
from loadtest.search import Found
from loadtest.slope import Slope, slope
from loadtest.tally import LATENCIES, Tally
from loadtest.watching import Sample

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class Moment(msgspec.Struct, frozen=True):
    """One second of the run: counts, records on their way at its end, and latencies in ms."""

    at: int
    offered: int
    sent: int
    acked: int
    processed: int
    dead: int
    behind: int
    latency: dict[str, int | None]
    ack_p99: int | None
    late_p99: int | None


class Mark(msgspec.Struct, frozen=True):
    """Something that was done at a moment of the run."""

    at: float
    words: str


class Looked(msgspec.Struct, frozen=True):
    """What processes of one name used in one second of the run."""

    at: float
    name: str
    cores: float
    mib: float


class Report(msgspec.Struct, frozen=True):
    """All of a run; times are seconds from its start.

    Attributes:
        name: Of the profile.
        profile: What was asked.
        delivery: Of the processors.
        where: The broker.
        machine: What it ran on.
        date: When it began, in UTC.
        moments: By second.
        samples: What processes used.
        marks: Faults, and the end of the sending.
        latencies: Percentiles over all that counts, by kind.
        account: What became of all records.
        full: How often a generator's queue was full: the broker took less than was sent.
        drain_seconds: From the end of the sending until the last record was seen.
        cpu_us: CPU time of the processors per record.
        growth: By how much processors grow per hour, where the run was long enough.
        saturation: How a search went.
        findings: What was to hold.
    """

    name: str
    profile: Profile
    delivery: str
    where: str
    machine: dict[str, str]
    date: str
    moments: list[Moment]
    samples: list[Looked]
    marks: list[Mark]
    latencies: dict[str, dict[str, int | None]]
    account: Account
    full: int
    drain_seconds: int
    cpu_us: float | None
    growth: dict[str, Slope]
    saturation: Found | None
    findings: list[Finding]

    @property
    def holds(self) -> bool:
        """Whether all findings hold."""
        return all(finding.holds for finding in self.findings)


def report(
    name: str,
    profile: Profile,
    *,
    start: float,
    tally: Tally,
    account: Account,
    silent: int,
    by_hand: bool,
    unwilling: Sequence[str],
    samples: Sequence[Sample],
    marks: Sequence[Mark],
    delivery: str,
    where: str,
    machine: dict[str, str],
    date: str,
    saturation: Found | None,
) -> Report:
    """Put a run together.

    Args:
        name: As in the report, and so on.
        profile: See there.
        start: When it began, in seconds since 1970.
        tally: What happened in each second.
        account: What became of all records.
        silent: Generators that have not said what they sent.
        by_hand: Whether a person started and stopped it, and so not all of the profile was sent.
        unwilling: Processes that did not end, or not well, when they were asked to.
        samples: What processes used.
        marks: What was done when.
        delivery: Of the processors.
        where: The broker.
        machine: What it ran on.
        date: When.
        saturation: How a search went.
    """
    begin = int(start)
    counted = {kind: Latencies() for kind in LATENCIES}
    for at, second in tally.items():
        if at >= start + profile.warm_up:
            for kind, latencies in counted.items():
                latencies.merge(getattr(second, kind))
    sending = [at for at, second in tally.items() if second.sent]
    seeing = [at for at, second in tally.items() if second.seen or second.dead]
    drained = max(0, max(seeing, default=begin) - max(sending, default=begin))
    end = max(max(seeing, default=begin), max(sending, default=begin)) + 2
    looked = [
        Looked(round(each.at - start, 1), each.name, round(each.cores, 3), round(each.mib, 1))
        for each in samples
        if start <= each.at <= end
    ]
    shown = moments(tally, begin)
    done = account.seen
    used = sum(each.cores for each in looked if each.name.startswith("processor"))
    growth = grown(samples, start + profile.warm_up, max(sending, default=begin))
    return Report(
        name,
        profile,
        delivery,
        where,
        machine,
        date,
        shown,
        looked,
        [*marks, Mark(max(sending, default=begin) + 1 - begin, "sending ended")],
        {kind: percentiles(latencies) for kind, latencies in counted.items()},
        account,
        tally.total("full"),
        drained,
        used / done * 1e6 if done else None,
        growth,
        saturation,
        [
            *of_generator(
                profile,
                counted,
                tally,
                account,
                offered=[each.offered for each in shown],
                silent=silent,
                by_hand=by_hand,
                saturation=saturation,
            ),
            *of_reader([each.cores for each in looked if each.name == "reader"], end - start),
            *of_records(profile, tally, account, delivery),
            *of_pipeline(profile, counted, drained, growth, saturation, unwilling),
        ],
    )


def percentiles(latencies: Latencies) -> dict[str, int | None]:
    """Return the percentiles that are shown."""
    return {name: latencies.percentile(share) for name, share in SHARES.items()}


def moments(tally: Tally, begin: int) -> list[Moment]:
    """Return all seconds from the start on, also those in which nothing happened."""
    shown = []
    behind = 0
    for at in range(begin, max(tally, default=begin) + 1):
        second = tally.get(at) or tally[at]
        behind += second.sent - second.undelivered - second.seen - second.dead
        shown.append(
            Moment(
                at - begin,
                second.offered,
                second.sent,
                second.acked,
                second.seen,
                second.dead,
                max(0, behind),
                percentiles(second.end_to_end),
                second.ack.percentile(0.99),
                second.delay.percentile(0.99),
            )
        )
    return shown


def grown(samples: Sequence[Sample], begin: float, end: float) -> dict[str, Slope]:
    """Return by how much processors grow per hour: MiB, files and threads."""
    if end - begin < GROWTH_SECONDS:
        return {}
    columns: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for each in samples:
        if each.name.startswith("processor") and begin <= each.at <= end:
            hours = (each.at - begin) / 3_600
            columns[f"{each.name}: MiB"].append((hours, each.mib))
            columns[f"{each.name}: files"].append((hours, each.files))
            columns[f"{each.name}: threads"].append((hours, each.threads))
    least = WATCHED * (end - begin)
    if any(len(points) < least for points in columns.values()):
        return {}
    return {name: slope(points) for name, points in columns.items()}


def told_of(given: Report) -> list[str]:
    """Return where and when a run was made."""
    return [given.delivery, given.where, given.date, *given.machine.values()]


def generator_gave_way(given: Report) -> bool:
    """Return whether the figures say more of the generator than of the pipeline."""
    return any("generator" in each.words and not each.holds for each in given.findings)


def warning(given: Report) -> str:
    """Return what is to be said of a generator that gave way."""
    text = "The generator was the bottleneck: the figures say nothing of the pipeline."
    if given.full:
        text += f" Its queue was full {given.full:,} times: the broker took less than was sent."
    return text


LIMITS = {
    "piles up": "above it, records pile up",
    "latency": "above it, p99 breaks its limit",
    "generator": "above it, the generator gives way, and the pipeline may bear more",
    "top": "that is where the search ends, and the pipeline may bear more",
}


def verdict_of(found: Found) -> str:
    """Say what a search has found."""
    if found.limit == "unfinished":
        return "The search has not come to its end, and no rate has held for half a minute"
    return f"Highest rate that held: {found.best:,.0f} records/s; {LIMITS[found.limit]}"


def markdown(given: Report) -> str:
    """Return the report as tables."""
    verdict: Literal["holds", "DOES NOT HOLD"] = "holds" if given.holds else "DOES NOT HOLD"
    lines = [
        f"## Load profile {given.name}: {verdict}",
        "",
        " · ".join([given.profile.words, *told_of(given)]),
        "",
    ]
    if generator_gave_way(given):
        lines += [f"**{warning(given)}**", ""]
    if given.saturation is not None:
        lines += [f"**{verdict_of(given.saturation)}.**", ""]
        lines += ["| asked, records/s | sent | for s | p99 ms | |", "|---:|---:|---:|---:|---|"]
        lines += [
            f"| {each.rate:,.0f} | {each.sent:,.0f} | {each.seconds} "
            f"| {'-' if each.p99_ms is None else f'{each.p99_ms:,}'} | {each.cause or 'holds'} |"
            for each in given.saturation.trials
        ]
        lines.append("")
    lines += ["| what | seen | asked | |", "|---|---:|---:|---|"]
    lines += [
        f"| {each.words} | {each.value} | {each.limit} | {'ok' if each.holds else '**no**'} |"
        for each in given.findings
    ]
    heads = {"delay": "send delay", "ack": "acknowledged", "end_to_end": "end to end"}
    lines += ["", f"| ms from the intended time | {' | '.join(SHARES)} |"]
    lines.append("|---|" + "---:|" * len(SHARES))
    for kind, words in heads.items():
        shown = (given.latencies[kind][share] for share in SHARES)
        lines.append(
            f"| {words} | {' | '.join('-' if each is None else f'{each:,}' for each in shown)} |"
        )
    account = given.account
    lines += [
        "",
        f"{account.sent:,} sent, {account.seen:,} seen, {account.undelivered:,} undelivered, "
        f"{account.lost:,} lost, {account.duplicates:,} twice, {account.reordered:,} out of order; "
        f"drained {given.drain_seconds} s after the end"
        + (f"; processors {given.cpu_us:.1f} µs of CPU a record" if given.cpu_us else ""),
    ]
    if given.growth:
        lines += ["", "| growth per hour | slope | 95 % confidence |", "|---|---:|---:|"]
        lines += [
            f"| {name} | {line.per_unit:+.2f} | ± {line.confidence:.2f} |"
            for name, line in given.growth.items()
        ]
    return "\n".join([*lines, ""])
