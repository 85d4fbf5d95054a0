"""Logins with the country of their address, asked of a service that is slow and sometimes away.

    PYTHONPATH=examples PIPELINE_APP=geo_logins:pipeline lanternpipe demo

``locate`` is the one place that talks to others: it is called once per batch, in a thread, with a
time-out. What it cannot find out is tried again; meanwhile a partition waits, in order, and nothing
is lost. Replace ``GeoService`` by a client of your own.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from operator import attrgetter

from pydantic import Field

from lanternpipe import Context, Pipeline, Retry, Skip, Topic
from logins.events import ProcessedUserLogin, UserLogin
from logins.pipeline import pipeline as logins
from logins.transform import Settings as LoginSettings
from logins.transform import transform as process

COUNTRIES = ("AT", "BR", "DE", "FR", "IN", "JP", "NG", "US")


class Settings(LoginSettings):
    """Those of the logins, and how unwell the service is."""

    geo_seconds: float = Field(0.02, ge=0, description="Seconds that the service takes.")
    geo_failing: float = Field(0.002, ge=0, le=1, description="Share of addresses that fail.")
    geo_away: float = Field(0.1, ge=0, le=1, description="Share of the time that it is away.")


class LocatedLogin(ProcessedUserLogin, frozen=True, gc=False):
    """A processed login with its country."""

    country: str


class GeoService:
    """Stands for a service of somebody else: slow, flaky, and away for a second now and then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chance = random.Random().random  # noqa: S311  # no secret

    def countries(self, addresses: Sequence[str]) -> dict[str, str | None]:
        """Return the country of each address, None where it could not be found this time.

        Raises:
            ConnectionError: The service is away.
        """
        time.sleep(self._settings.geo_seconds)
        second = hashlib.sha256(str(int(time.time())).encode()).digest()[0]
        if second < 256 * self._settings.geo_away:
            raise ConnectionError("the service is away")
        failing = self._settings.geo_failing
        return {
            each: None if self._chance() < failing else COUNTRIES[hash(each) % len(COUNTRIES)]
            for each in addresses
        }


def locate(batch: Sequence[UserLogin], ctx: Context[Settings]) -> Mapping[str, str | Retry]:
    """Ask for the countries of a batch at once: each address once, however often it occurs."""
    addresses = sorted({login.ip for login in batch})
    try:
        found = GeoService(ctx.settings).countries(addresses)
    except ConnectionError:
        raise Retry("geo_away") from None
    return {ip: country or Retry("geo_failed") for ip, country in found.items()}


def transform(login: UserLogin, ctx: Context[Settings]) -> LocatedLogin | Skip:
    """Process a login as usual and add its country."""
    processed = process(login, ctx)
    if isinstance(processed, Skip):
        return processed
    # Raises `Retry` where the country could not be found out.
    country = ctx.lookup[login.ip]
    return LocatedLogin(
        user_id=processed.user_id,
        app_version=processed.app_version,
        ip=processed.ip,
        locale=processed.locale,
        device_id=processed.device_id,
        timestamp=processed.timestamp,
        device_type=processed.device_type,
        processed_timestamp=processed.processed_timestamp,
        country=country,
    )


pipeline = Pipeline(
    input=logins.input,
    output=Topic("processed-user-login", LocatedLogin, key=attrgetter("user_id")),
    transform=transform,
    samples=logins.samples,
    settings=Settings,
    lookup=locate,
)
