"""What a run comes to, and the page that shows it."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from loadtest.lanes import Account
from loadtest.page import page, picture
from loadtest.profile import Profile, read_profile
from loadtest.report import Mark, Report, generator_gave_way, markdown, report
from loadtest.search import Found, Trial
from loadtest.tally import Tally
from loadtest.watching import Sample

START = 1_700_000_000
GOOD = Account(300, 0, 300, 0, 0, 0, [])


def tally_of(seconds: int, *, delay: int = 1, seen_after: int = 50) -> Tally:
    """Return seconds in which 10 records each were sent and seen."""
    tally = Tally()
    for at in range(START, START + seconds):
        second = tally[at]
        second.offered = second.sent = second.acked = second.seen = 10
        second.delay.add([delay] * 10)
        second.ack.add([5] * 10)
        second.end_to_end.add([seen_after] * 10)
    return tally


def made(
    *,
    tally: Tally | None = None,
    account: Account = GOOD,
    profile: Profile | None = None,
    delivery: str = "exactly-once",
    samples: list[Sample] | None = None,
    **more: Any,
) -> Report:
    """Return the report of a run in which all is well, but for what is given."""
    return report(
        "constant",
        profile or msgspec.structs.replace(read_profile("constant"), seconds=30, warm_up=5),
        start=START,
        tally=tally if tally is not None else tally_of(30),
        account=account,
        samples=samples or [Sample(START + at, "processor 1", 0.2, 180, 30, 8) for at in range(30)],
        marks=[Mark(9, "processor 1 <killed>")],
        delivery=delivery,
        where="a broker",
        machine={"cpu": "2 cores"},
        date="2026-01-01",
        saturation=None,
        **more,
    )


def broken(given: Report) -> list[str]:
    """Return what does not hold."""
    return [finding.words for finding in given.findings if not finding.holds]


def test_all_is_well() -> None:
    """Where nothing is wrong, all holds, and CPU time is told by the record."""
    given = made()
    assert given.holds
    assert given.latencies["end_to_end"]["p99"] == 50
    assert given.cpu_us == pytest.approx(30 * 0.2 / 300 * 1e6)
    assert markdown(given).startswith("## Load profile constant: holds")


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account(300, 0, 299, 1, 0, 0, ["x"]), "lost records"),
        (Account(300, 0, 300, 0, 1, 0, []), "records seen twice"),
        (Account(300, 0, 300, 0, 0, 1, []), "records out of order within their key"),
        (Account(300, 1, 299, 0, 0, 0, []), "undelivered records"),
    ],
)
def test_a_record_is_missed(account: Account, words: str) -> None:
    """One record that is lost, doubled, late in its key or refused fails a run."""
    assert broken(made(account=account)) == [words]


def test_at_least_once_may_repeat() -> None:
    """Who processes at least once may do so twice, and behind others; never less than once."""
    account = Account(300, 0, 300, 0, 2, 2, [])
    assert made(account=account, delivery="at-least-once").holds
    lost = Account(300, 0, 299, 1, 0, 0, [])
    assert not made(account=lost, delivery="at-least-once").holds


def test_generator_is_late() -> None:
    """A generator that was late is the first to be told, and its figures are disowned."""
    given = made(tally=tally_of(30, delay=400))
    assert generator_gave_way(given)
    assert "The generator was the bottleneck" in markdown(given)
    assert "The generator was the bottleneck" in page(given)


def test_generator_does_not_send_all() -> None:
    """A generator that leaves out what was due was the bottleneck, however punctual the rest."""
    tally = tally_of(30)
    for second in tally.values():
        second.offered = 12
    assert generator_gave_way(made(tally=tally))


def test_pipeline_is_late() -> None:
    """Outputs that come late break the limit, and the generator is not blamed."""
    given = made(tally=tally_of(30, seen_after=900))
    assert broken(given) == ["p99 from the intended time to the sight of the output"]
    assert not generator_gave_way(given)


def test_nothing_was_seen() -> None:
    """Where no output was seen, there is no latency that could hold."""
    tally = tally_of(30)
    for second in tally.values():
        second.end_to_end.counts.clear()
    (finding,) = [each for each in made(tally=tally).findings if each.words.startswith("p99")]
    assert (finding.value, finding.holds) == ("nothing was seen", False)


def test_warm_up_does_not_count() -> None:
    """What was late in the warm-up is not held against a run."""
    tally = tally_of(30)
    tally[START + 2].end_to_end.add([60_000] * 50)
    assert made(tally=tally).holds


@pytest.mark.parametrize(("dead", "holds"), [(3, True), (2, False), (4, False)])
def test_poison(dead: int, holds: bool) -> None:
    """As many dead letters as broken records, not one more or less."""
    tally = tally_of(30)
    tally[START + 9].poison, tally[START + 9].dead = 3, dead
    assert made(tally=tally).holds is holds


def test_memory_grows() -> None:
    """A soak fails if memory surely grows, and not by its noise."""
    profile = msgspec.structs.replace(read_profile("soak"), seconds=1_800)

    def soaked(per_hour: float) -> Report:
        samples = [
            Sample(START + at, "processor 1", 0.2, 180 + at % 7 + per_hour * at / 3_600, 30, 8)
            for at in range(1_800)
        ]
        return made(profile=profile, tally=tally_of(1_800), samples=samples)

    assert soaked(0).holds
    assert broken(soaked(100)) == ["processor 1: MiB per hour, at the lower end of its confidence"]
    assert math.isclose(soaked(100).growth["processor 1: MiB"].per_unit, 100, rel_tol=0.05)


class Elements(HTMLParser):
    """Checks that what is opened is closed."""

    VOID = frozenset({"meta", "line", "rect", "polyline", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        assert not any(name in {"src", "href"} for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Take its end."""
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page() -> None:
    """The page is one file that is well formed, needs nothing else, and escapes what it is told."""
    text = page(made())
    assert not Elements(text).open
    assert "&lt;killed&gt;" in text
    assert "<killed>" not in text


def test_picture() -> None:
    """The picture is XML, with a curve for each that is named."""
    root = ET.fromstring(picture(made()))
    assert len(root.findall(".//{*}polyline")) >= 4


def test_search_is_shown() -> None:
    """A search for saturation shows its trials, and is not judged by latencies of its failures."""
    profile = msgspec.structs.replace(read_profile("saturation"), seconds=30)
    tally = tally_of(30, delay=900, seen_after=9_000)
    found = Found(3_000, [Trial(3_000, None), Trial(4_500, "piles up")])
    given = msgspec.structs.replace(made(profile=profile, tally=tally), saturation=found)
    assert "| 4,500 | piles up |" in markdown(given)
    assert "3,000/s" in page(given)


def test_report_for_programs() -> None:
    """The report can be read again from its JSON."""
    given = made()
    assert msgspec.json.decode(msgspec.json.encode(given), type=Report) == given
