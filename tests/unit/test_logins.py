"""The pipeline that ships with the template: versions, transform and samples."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lanternpipe import Context, RawRecord, Reject, Skip
from lanternpipe.codec.json import JsonCodec
from logins.events import ProcessedUserLogin, UserLogin, Version
from logins.pipeline import pipeline
from logins.samples import LARGE_BYTES, POISON, samples
from logins.transform import Settings, transform

NUMBERS = st.tuples(*[st.integers(0, 10**9 - 1)] * 3)
CTX = Context(1_729_741_923, Settings())
CODEC = JsonCodec(UserLogin)


def dotted(numbers: tuple[int, ...]) -> str:
    """Return numbers as a version is written."""
    return ".".join(map(str, numbers))


def login(version: str = "2.3.0") -> UserLogin:
    """Return a login from an app of this version."""
    return UserLogin("u", version, "ip", "NV", "d", 1_729_741_922, "iOS")


def some(count: int, **options: Any) -> list[UserLogin | RawRecord]:
    """Return that many samples."""
    defaults = {"seed": 1, "filtered": 0.0, "poison": 0.0, "clock": lambda: 1_700_000_000.9}
    return list(islice(samples(**{**defaults, **options}), count))


def outcome(sample: UserLogin | RawRecord) -> str:
    """Return what the pipeline makes of a sample that has gone over the wire."""
    value = sample.value if isinstance(sample, RawRecord) else CODEC.encode(sample)
    try:
        result = transform(CODEC.decode(value), CTX)
    except (Reject, msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        return "poison"
    return "filtered" if isinstance(result, Skip) else "good"


@given(NUMBERS, NUMBERS)
def test_versions_compare_by_number(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Versions are ordered as the tuples of their numbers."""
    assert (Version(dotted(one)) < Version(dotted(other))) == (one < other)
    assert (Version(dotted(one)) == Version(dotted(other))) == (one == other)


def test_ten_is_more_than_nine() -> None:
    """Version 2.10.0 is newer than 2.9.1, which text would not say."""
    assert Version("2.10.0") > Version("2.9.1") > Version("2.0.0")


NO_VERSIONS = [
    *("", "2", "2.3", "2.3.0.1", "2.3.x", "2..0", " 2.3.0", "2.3.0\n", "-1.2.3", "beta-2.3.0"),
    *("2.3.\u00b2", "2.3.\u0663", "1.2." + "9" * 10),
]


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_what_is_no_version_is_rejected_with_its_field(text: str) -> None:
    """Anything but three plain numbers is rejected, naming the field and the form."""
    with pytest.raises(Reject) as caught:
        transform(login(text), CTX)
    found = caught.value
    assert (found.reason, found.field, found.limit) == ("invalid", "app_version", "N.N.N")


@given(st.text(max_size=12))
def test_any_text_is_a_version_or_rejected(text: str) -> None:
    """No text leads to anything but a version or a rejection."""
    with contextlib.suppress(Reject):
        assert len(Version(text)) == 3


def test_all_fields_are_taken_over() -> None:
    """The output has every field of the input, in the same order, and one more at the end."""
    names = UserLogin.__struct_fields__
    given = login("2.3.0")
    output = transform(given, Context(7, Settings()))
    assert isinstance(output, ProcessedUserLogin)
    assert ProcessedUserLogin.__struct_fields__ == (*names, "processed_timestamp")
    assert msgspec.structs.asdict(output) == {
        **msgspec.structs.asdict(given),
        "processed_timestamp": 7,
    }


def test_a_login_is_let_through_with_the_time() -> None:
    """A login from a current app comes out with the time of processing."""
    output = transform(login(), CTX)
    assert isinstance(output, ProcessedUserLogin)
    assert output.processed_timestamp == 1_729_741_923


@pytest.mark.parametrize(
    ("version", "through"),
    [("1.9.9", False), ("1.12.4", False), ("2.0.0", True), ("2.10.0", True), ("10.0.0", True)],
)
def test_old_apps_are_filtered(version: str, through: bool) -> None:
    """A login from an app older than the minimum is filtered, with a reason."""
    result = transform(login(version), CTX)
    assert isinstance(result, ProcessedUserLogin) is through
    assert through or result == Skip("old_app_version")


def test_the_minimum_is_a_setting() -> None:
    """Which app is too old can be set, and only to something that is a version."""
    ctx = Context(0, Settings(minimum_version="2.10.0"))
    assert transform(login("2.9.1"), ctx) == Skip("old_app_version")
    with pytest.raises(ValidationError, match="minimum_version"):
        Settings(minimum_version="2.10")


def test_samples_are_determined_by_their_seed() -> None:
    """The same seed gives the same stream, and another seed another."""
    mixed = {"filtered": 0.2, "poison": 0.2}
    assert some(2_000, **mixed) == some(2_000, **mixed)
    assert some(100, **mixed) != some(100, seed=2, **mixed)


def test_samples_without_shares_are_all_good() -> None:
    """Without filtered and poison every sample gets through, stamped by the clock."""
    found = some(2_000)
    assert {outcome(each) for each in found} == {"good"}
    assert {each.timestamp for each in found if isinstance(each, UserLogin)} == {1_700_000_000}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 3), st.floats(0, 0.5), st.floats(0, 0.5))
def test_shares_are_about_right(seed: int, filtered: float, poison: float) -> None:
    """Of many samples about the asked shares are filtered and poison, and really are."""
    count = 2_000
    found = [outcome(each) for each in some(count, seed=seed, filtered=filtered, poison=poison)]
    assert abs(found.count("filtered") / count - filtered) < 0.06
    assert abs(found.count("poison") / count - poison) < 0.06


@pytest.mark.parametrize("kind", POISON)
def test_every_poison_is_poison(kind: str) -> None:
    """Each kind of poison is something that the pipeline cannot process."""
    assert outcome(RawRecord(b"u", POISON[kind](CODEC.encode(login())))) == "poison"


def test_all_poison_has_a_key_and_every_kind_occurs() -> None:
    """Poison carries the key of its user, and all kinds of it come sooner or later."""
    found = some(400, poison=1.0, large=True)
    assert all(isinstance(each, RawRecord) and each.key for each in found)
    sizes = [len(each.value or b"") for each in found if isinstance(each, RawRecord)]
    assert max(sizes) >= LARGE_BYTES - 10
    whys = {
        (why.reason, why.field)
        for each in found
        if isinstance(each, RawRecord) and (why := reason(each.value))
    }
    assert whys >= {
        *((each, None) for each in ("tombstone", "empty", "undecodable", "invalid")),
        *(("invalid", field) for field in ("ip", "timestamp", "app_version")),
    }


def reason(value: bytes | None) -> Reject | None:
    """Return why a value is rejected."""
    try:
        transform(CODEC.decode(value), CTX)
    except Reject as reject:
        return reject
    except Exception as error:  # noqa: BLE001  # as the planner does
        return CODEC.explain(value, error)
    return None


def test_few_users_log_in_often() -> None:
    """Keys are skewed as in life: the busiest user has far more than an even share."""
    keys = [each.user_id for each in some(3_000) if isinstance(each, UserLogin)]
    busiest = max(map(keys.count, set(keys)))
    assert busiest > 20 * len(keys) / 5_000


def test_the_pipeline_is_declared_as_documented() -> None:
    """Topics are called as the documentation says, and keyed by the user."""
    assert (pipeline.input.name, pipeline.output.name) == ("user-login", "processed-user-login")
    assert pipeline.input.key is not None
    assert pipeline.output.key is not None
    assert pipeline.input.key(login()) == "u"
    output = transform(login(), CTX)
    assert isinstance(output, ProcessedUserLogin)
    assert pipeline.output.key(output) == "u"
