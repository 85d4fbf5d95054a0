"""What a run comes to, and the page that shows it."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from msgspec.structs import replace

from loadtest.findings import away_from
from loadtest.lanes import Account
from loadtest.page import page, picture
from loadtest.profile import Profile, read_profile
from loadtest.report import Mark, Report, generator_gave_way, markdown, report
from loadtest.search import Found, Limit, Trial
from loadtest.tally import Tally
from loadtest.watching import Sample

START = 1_700_000_000
GOOD = Account(300, 300, 0, 300, 0, 0, 0, 0, 0, [])


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


def constant(seconds: float, name: str = "constant", warm_up: float = 0) -> Profile:
    """Return a profile of ten records a second."""
    return replace(read_profile(name), rate=10, seconds=seconds, warm_up=warm_up)


def made(
    *,
    tally: Tally | None = None,
    account: Account | None = None,
    profile: Profile | None = None,
    delivery: str = "exactly-once",
    samples: list[Sample] | None = None,
    silent: int = 0,
    by_hand: bool = False,
    unwilling: list[str] | None = None,
    saturation: Found | None = None,
    **more: Any,
) -> Report:
    """Return the report of a run in which all is well, but for what is given."""
    tally = tally if tally is not None else tally_of(30)
    profile = profile or constant(30, warm_up=5)
    sent = tally.total("sent")
    samples = samples or [Sample(START + at, "processor 1", 0.2, 180, 30, 8) for at in range(30)]
    if not any(each.name == "reader" for each in samples):
        samples = samples + [Sample(float(at), "reader", 0.1, 80, 20, 4) for at in sorted(tally)]
    account = account or replace(GOOD, due=sent, sent=sent, seen=sent)
    return report(
        "constant",
        profile,
        start=START,
        tally=tally,
        account=account,
        silent=silent,
        by_hand=by_hand,
        samples=samples,
        unwilling=unwilling or [],
        marks=[Mark(9, "processor 1 <killed>")],
        delivery=delivery,
        where="a broker",
        machine={"cpu": "2 cores"},
        date="2026-01-01",
        saturation=saturation,
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
        (replace(GOOD, lost=1), "lost records"),
        (replace(GOOD, duplicates=1), "records seen twice"),
        (replace(GOOD, reordered=1), "records out of order within their key"),
        (replace(GOOD, undelivered=1), "undelivered records"),
        (replace(GOOD, misjudged=1), "good records as dead letters, or broken ones as outputs"),
        (replace(GOOD, unknown=1), "records of generators that have not"),
        (replace(GOOD, sent=299), "all told what was sent"),
    ],
)
def test_a_record_is_missed(account: Account, words: str) -> None:
    """One record that is lost, doubled, late in its key or refused fails a run."""
    assert broken(made(account=account)) == [words]


def test_at_least_once_may_repeat() -> None:
    """Who processes at least once may do so twice, and behind others; never less than once."""
    account = replace(GOOD, duplicates=2, reordered=2)
    assert made(account=account, delivery="at-least-once").holds
    lost = replace(GOOD, lost=1)
    assert not made(account=lost, delivery="at-least-once").holds


def test_generator_is_late() -> None:
    """A generator that was late is the first to be told, and its figures are disowned."""
    given = made(tally=tally_of(30, delay=400))
    assert generator_gave_way(given)
    assert "The generator was the bottleneck" in markdown(given)
    assert "The generator was the bottleneck" in page(given)


def test_generator_does_not_send_all() -> None:
    """A generator that leaves out what was due was the bottleneck, however punctual the rest."""
    given = made(account=replace(GOOD, due=360))
    assert broken(given) == ["the generator kept up: due and not sent"]
    assert generator_gave_way(given)


def test_generator_that_was_silent() -> None:
    """A generator that has not said what it sent may have sent anything: the run fails."""
    assert broken(made(silent=1)) == ["generators that have not said what they sent"]


def test_generator_that_never_began() -> None:
    """Where one of two generators never began, half of what was planned was never due."""
    given = made(profile=replace(constant(30), rate=20))
    assert broken(given) == [
        "the generator kept up: planned and never due",
        "the generator kept up: away from the plan of 3 s before or after",
    ]
    assert made(profile=replace(constant(30), rate=20), by_hand=True).holds


@pytest.mark.parametrize(
    ("offered", "away"),
    [
        ([10] * 12 + [50] * 6 + [10] * 12, 0),
        ([0, 5] + [10] * 11 + [50] * 6 + [10] * 12, 0),  # begins a bit late
        ([10] * 14 + [50] * 6 + [10] * 12, 0),  # and follows late
        ([10] * 30, 210),  # there was no spike
        ([10] * 12 + [80] * 6 + [10] * 12, 150),  # or another one
        ([10] * 12 + [50] * 6 + [10] * 2, 70),  # ends early
        ([0] * 30, 510),
    ],
)
def test_generator_follows_the_plan(offered: list[int], away: int) -> None:
    """What was due is held against the plan second by second: no shape can be left out."""
    profile = replace(constant(30), shape="spike", levels=(5,))
    assert away_from(profile, offered) == away


def test_process_that_does_not_end() -> None:
    """A processor that hangs until it is killed, or fails at its end, fails the run."""
    (words,) = broken(made(unwilling=["processor 1"]))
    assert words == "processes that did not end well when asked"


def test_nobody_watched_the_reader() -> None:
    """A reader that nobody looked at may have had no time."""
    samples = [Sample(START + at, "reader", 0.1, 80, 20, 4) for at in range(12)]
    assert broken(made(samples=samples)) == ["the reader was watched"]


def test_poison_that_was_not_sent() -> None:
    """Where records were to be broken and none was, nothing was tried."""
    assert broken(made(profile=replace(constant(30), poison=0.01))) == ["broken records sent"]


def test_reader_is_the_bottleneck() -> None:
    """A reader that takes a whole core for seconds may be what is late."""

    def read(*cores: float) -> list[Sample]:
        return [Sample(START + at, "reader", each, 80, 30, 8) for at, each in enumerate(cores)]

    assert made(samples=read(*[0.3] * 20, 0.99, 0.99, *[0.3] * 8)).holds
    (words,) = broken(made(samples=read(*[0.3] * 20, *[0.97] * 6, *[0.3] * 4)))
    assert words.startswith("the reader kept up")


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
    """A soak fails unless memory, files and threads surely do not grow by more than they may."""
    profile = constant(1_800, "soak")

    def soaked(per_hour: float, files: float = 0) -> Report:
        samples = [
            Sample(
                START + at,
                "processor 1",
                0.2,
                180 + at % 7 + per_hour * at / 3_600,
                30 + int(files * at / 3_600),
                8,
            )
            for at in range(1_800)
        ]
        return made(profile=profile, tally=tally_of(1_800), samples=samples)

    assert soaked(0).holds
    words = "processor 1: {} per hour, at the upper end of its confidence"
    assert broken(soaked(100)) == [words.format("MiB")]
    assert broken(soaked(19.9)) == [words.format("MiB")]
    assert broken(soaked(0, files=40)) == [words.format("files")]
    assert math.isclose(soaked(100).growth["processor 1: MiB"].per_unit, 100, rel_tol=0.05)


def test_too_short_to_tell_growth() -> None:
    """What was not shown does not hold."""
    assert broken(made(profile=constant(30, "soak"))) == ["growth can be told"]


def test_what_is_outside_of_the_load_does_not_count() -> None:
    """CPU time of before and after, as where a person waits at Locust's page, is nobody's cost."""
    samples = [Sample(START + at, "processor 1", 0.2, 180, 30, 8) for at in range(-500, 500)]
    assert made(samples=samples).cpu_us == pytest.approx(0.2 / 10 * 1e6, rel=0.1)


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
    tally = tally_of(30, delay=900, seen_after=9_000)
    trials = [Trial(3_000, 2_998, 30, 80, None), Trial(4_500, 4_400, 6, None, "piles up")]
    given = made(
        profile=constant(30, "saturation"), tally=tally, saturation=Found(2_998, "piles up", trials)
    )
    assert given.holds
    assert "| 4,500 | 4,400 | 6 | - | piles up |" in markdown(given)
    assert "**Highest rate that held: 2,998 records/s; above it, records pile up.**" in markdown(
        given
    )
    assert "2,998/s" in page(given)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("generator", "the generator gives way, and the pipeline may bear more"),
        ("top", "where the search ends, and the pipeline may bear more"),
        ("unfinished", "has not come to its end"),
    ],
)
def test_search_says_what_is_in_the_way(limit: Limit, words: str) -> None:
    """What was found may be the limit of something other than the pipeline; the report says so."""
    best = 0 if limit == "unfinished" else 3_000
    given = made(profile=constant(30, "saturation"), saturation=Found(best, limit, []))
    assert given.holds is (limit != "unfinished")
    assert words in markdown(given)
    assert words in page(given)


def test_report_for_programs() -> None:
    """The report can be read again from its JSON."""
    given = made()
    assert msgspec.json.decode(msgspec.json.encode(given), type=Report) == given
