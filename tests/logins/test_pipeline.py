"""The whole pipeline: what comes out of it, and that it does so whatever goes wrong."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from lanternpipe import Context, RawRecord
from lanternpipe.testing import Drill
from logins.events import ProcessedUserLogin, UserLogin
from logins.pipeline import pipeline
from logins.transform import Settings, transform
from tests.logins.a_login import login

NOW = 1_729_741_923
SAMPLES = 120


def test_the_pipeline_is_declared_as_documented() -> None:
    """Topics are called as the documentation says, and keyed by the user."""
    assert (pipeline.input.name, pipeline.output.name) == ("user-login", "processed-user-login")
    assert pipeline.input.key is not None
    assert pipeline.output.key is not None
    assert pipeline.input.key(login()) == "u"
    output = transform(login(), Context(NOW, Settings()))
    assert isinstance(output, ProcessedUserLogin)
    assert pipeline.output.key(output) == "u"


def test_each_login_has_its_fate() -> None:
    """A good login comes out with the time, an old one is filtered, a broken one is a letter."""
    drill = Drill(pipeline, settings={"minimum_version": "2.0.0"}, now=NOW)
    drill.send(login("2.3.0"))
    drill.send(login("1.9.9"))
    drill.send(login("beta"))
    drill.send(key=b"u", value=b"not json")
    drill.run()
    assert drill.outputs == [transform(login("2.3.0"), Context(NOW, Settings()))]
    assert drill.filtered == {"old_app_version": 1}
    assert [(letter.reason, letter.field) for letter in drill.dead_letters] == [
        ("invalid", "app_version"),
        ("undecodable", None),
    ]


def test_outputs_keep_key_and_time() -> None:
    """What comes out can be joined with what went in: by key, and by the time of the login."""
    drill = Drill(pipeline)
    drill.send(login(), timestamp=NOW * 1_000)
    drill.run()
    (written,) = drill.records("processed-user-login")
    assert (written.key, written.timestamp) == (b"u", NOW * 1_000)


@pytest.fixture(name="sent", scope="module")
def _sent() -> list[UserLogin | RawRecord]:
    """Return samples, good and bad; to make them takes longer than to process them."""
    return [
        *islice(
            pipeline.samples(seed=1, filtered=0.2, poison=0.2, large=False, clock=lambda: NOW),
            SAMPLES,
        )
    ]


@pytest.mark.parametrize("seed", range(25))
def test_storms_lose_and_repeat_nothing(sent: list[UserLogin | RawRecord], seed: int) -> None:
    """Whatever goes wrong, the same comes out as if nothing had."""
    calm, stormy = Drill(pipeline), Drill(pipeline)
    for drill in (calm, stormy):
        for each in sent:
            drill.send(each)
    calm.run()
    stormy.storm(seed)
    assert Counter(stormy.fates.values()) == Counter(calm.fates.values())
    assert sorted(map(who, stormy.outputs)) == sorted(map(who, calm.outputs))
    assert stormy.filtered == calm.filtered


def who(output: ProcessedUserLogin) -> tuple[str, int]:
    """Return what tells outputs apart."""
    return output.user_id, output.timestamp
