"""Seeded sample logins: good ones, old ones that are filtered, and poison."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate

import msgspec

from lanternpipe import RawRecord
from logins.events import UserLogin

USERS = 5_000
BLOCK = 1_000
ZIPF_EXPONENT = 1.1  # few users log in often, most seldom
CURRENT_VERSIONS = ("2.0.0", "2.3.0", "2.9.1", "2.10.0", "3.0.2")
OLD_VERSIONS = ("1.9.9", "0.8.1", "1.12.4")

POISON: dict[str, Callable[[bytes], bytes | None]] = {
    "invalid UTF-8": lambda good: good.replace(b'"locale":"', b'"locale":"\xff', 1),
    "truncated JSON": lambda good: good[: len(good) // 2],
    "not an object": lambda good: b"[" + good + b"]",
    "missing field": lambda good: good.replace(b'"ip"', b'"address"', 1),
    "wrong type": lambda good: good.replace(b'"timestamp":', b'"timestamp":null,"then":', 1),
    "no version": lambda good: good.replace(b'"app_version":"', b'"app_version":"beta-', 1),
    "tombstone": lambda _: None,
    "empty value": lambda _: b"",
}
LARGE_BYTES = 900_000


def samples(
    *,
    seed: int,
    filtered: float,
    poison: float,
    large: bool = False,
    clock: Callable[[], float],
) -> Iterator[UserLogin | RawRecord]:
    """Yield logins without end; the same seed and clock give the same stream.

    Args:
        seed: Where the stream of random numbers starts.
        filtered: Share of logins from an app version that is too old, 0 to 1.
        poison: Share of broken records, as a broken sender would write them, 0 to 1.
        large: Whether poison may also be a value of 900 kB.
        clock: Gives the seconds since 1970 that become ``timestamp``.
    """
    rng = random.Random(seed)  # noqa: S311  # made-up users need no cryptography
    users = _users(seed)
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, USERS + 1)))
    poisons = [*POISON.values()]
    if large:
        poisons.append(lambda good: good[:-2].ljust(LARGE_BYTES, b"x"))
    encode = msgspec.json.encode
    while True:
        for user in rng.choices(users, cum_weights=weights, k=BLOCK):
            user_id, version, ip, locale, device_id, device_type = user
            now = int(clock())
            draw = rng.random()
            if draw < poison:
                good = UserLogin(user_id, version, ip, locale, device_id, now, device_type)
                yield RawRecord(user_id.encode(), rng.choice(poisons)(encode(good)))
                continue
            if draw < poison + filtered:
                version = rng.choice(OLD_VERSIONS)
            yield UserLogin(user_id, version, ip, locale, device_id, now, device_type)


def _users(seed: int) -> list[tuple[str, str, str, str, str, str]]:
    from faker import Faker  # noqa: PLC0415  # a quarter of a second that a processor need not pay

    fake = Faker("en_US")
    fake.seed_instance(seed)
    return [
        (
            fake.uuid4(),
            fake.random_element(CURRENT_VERSIONS),
            fake.ipv4_public(),
            fake.state_abbr(include_territories=False),
            fake.uuid4(),
            fake.random_element(("iOS", "android")),
        )
        for _ in range(USERS)
    ]
