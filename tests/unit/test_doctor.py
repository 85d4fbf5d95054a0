"""What a doctor says of what it has seen."""

from __future__ import annotations

import pytest

from lanternpipe.kafka.probe import Seen
from lanternpipe.ops.doctor import (
    Finding,
    Verdict,
    lines,
    of_broker,
    of_collector,
    of_settings,
    worst,
)
from lanternpipe.settings import KafkaSettings, Settings, TelemetrySettings

NOW = 1_780_000_000.0
ENDS = "May 30 20:26:40 2026 GMT"  # two days after NOW


def verdicts(settings: Settings) -> dict[str, str]:
    """Return what is said of settings."""
    return {each.what: each.verdict for each in of_settings(settings)}


def test_sound_settings() -> None:
    """Of defaults there is nothing to say but that nothing is encrypted."""
    assert verdicts(Settings(instance="")) == {"settings": "ok", "encryption": "warning"}


def test_what_the_new_group_protocol_does_not_know() -> None:
    """It would be ignored, or refused by the client at some other time."""
    kafka = KafkaSettings(group_protocol="consumer", consumer_extra={"session.timeout.ms": "9000"})
    assert verdicts(Settings(instance="", kafka=kafka))["group protocol"] == "problem"


def test_a_grace_that_is_too_short() -> None:
    """A lookup that is waited for would be cut off by the end of the process."""
    assert verdicts(Settings(instance="", shutdown_grace=1.0))["clean stop"] == "warning"


@pytest.mark.parametrize(("now", "verdict"), [(NOW, "warning"), (NOW - 86_400 * 60, "ok")])
def test_a_certificate_that_ends_soon(now: float, verdict: str) -> None:
    """A month before there is time to renew it."""
    seen = Seen("kafka:9093", "sasl", certificate={"notAfter": ENDS}, mechanisms=("PLAIN",))
    broker, certificate = of_broker(seen, now)
    assert (broker.verdict, certificate.verdict) == ("ok", verdict)
    assert bool(certificate.cure) == (verdict == "warning")


def test_a_broker_that_cannot_be_reached() -> None:
    """Problem and cure are those of who knocked."""
    (found,) = of_broker(Seen("kafka:9093", "connect", "nobody", "look"), NOW)
    assert found == Finding("broker kafka:9093", "problem", "nobody", "look")
    assert [*lines(found)] == ["✗ broker kafka:9093: nobody", "  → look"]


def test_no_collector() -> None:
    """It is no problem for records, and no matter where nothing is traced."""
    settings = Settings(instance="")
    assert of_collector(settings, lambda: False).verdict == "warning"
    assert of_collector(settings, lambda: True).verdict == "ok"
    silent = settings.model_copy(update={"telemetry": TelemetrySettings(signals="logs")})
    assert of_collector(silent, lambda: False).verdict == "skipped"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["ok", "problem", "warning"], "problem"),
        (["ok", "warning", "skipped"], "warning"),
        (["skipped", "ok"], "ok"),
        (["skipped"], "skipped"),
    ],
)
def test_the_worst_counts(given: list[Verdict], expected: str) -> None:
    """A problem decides the exit code."""
    assert worst(Finding("", each, "") for each in given) == expected
