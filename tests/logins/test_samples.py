"""The samples: seeded, in the shares that are asked for, and broken in every way."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanternpipe import Context, RawRecord, Reject, Skip
from lanternpipe.codec.json import JsonCodec
from logins.events import UserLogin
from logins.samples import LARGE_BYTES, POISON, samples
from logins.transform import Settings, transform
from tests.logins.a_login import login

CTX = Context(1_729_741_923, Settings())
CODEC = JsonCodec(UserLogin)


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
