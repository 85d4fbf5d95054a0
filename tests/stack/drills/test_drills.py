"""Each alert fires under its own fault and goes when it is undone; without faults none does."""

from __future__ import annotations

import os
import time

import pytest

from tests.stack.drills import results
from tests.stack.drills.catalogue import LASTING, PHASES, PROMTOOL_ONLY, WATCHDOG, drills
from tests.stack.drills.run import Outcome, Report, conduct
from tests.stack.drills.shipped import LINKS, alert_rules
from tests.stack.drills.stage import stage

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        "KAFKA_BOOTSTRAP_SERVERS" in os.environ, reason="somebody else's brokers are not killed"
    ),
]

QUIET_SECONDS = 80.0  # as long as the longest drill, in which a transform hangs for 70 s
DRILLED = [(drill.name, alert) for drill in drills() for alert in drill.alerts]


@pytest.fixture(name="report", scope="module")
def _report(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Report:
    """Run all drills, once, and say how far they are: they take minutes."""
    began = time.monotonic()
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    say("the drills begin")
    with stage(tmp_path_factory.mktemp("drills"), say) as running:
        report = conduct(running, PHASES, QUIET_SECONDS, say)
    results.write(report)
    say(f"results in {results.BUILT}")
    return report


def outcome_of(report: Report, name: str) -> Outcome:
    """Return what became of a drill."""
    (found,) = (each for each in report.outcomes if each.drill.name == name)
    return found


def test_nothing_fires_without_a_fault(report: Report) -> None:
    """Nothing but the watchdog is there while nothing is done, as long as the longest drill."""
    assert report.quiet == [WATCHDOG]


@pytest.mark.parametrize(("drill", "alert"), DRILLED, ids=[alert for _, alert in DRILLED])
def test_alert_comes_and_goes(report: Report, drill: str, alert: str) -> None:
    """The alert comes to Alertmanager with what its rule promises, and goes with the fault."""
    outcome = outcome_of(report, drill)
    assert not outcome.error
    measured = outcome.alerts[alert]
    assert measured.fires is not None, "it did not fire"
    if alert not in LASTING:
        assert measured.clears is not None, "it did not go"
    (rule,) = (each for each in alert_rules() if each["alert"] == alert)
    assert rule["labels"].items() <= measured.labels.items()
    assert not {"grafana", "runbooks"} & measured.labels.keys()
    told = measured.annotations
    assert told["runbook_url"] == f"{LINKS['RUNBOOKS_URL']}/{alert}.md"
    assert told["dashboard_url"].startswith(f"{LINKS['GRAFANA_URL']}/d/lanternpipe-")
    assert "<no value>" not in "".join(told.values())
    assert "{{" not in "".join(told.values())


def test_no_alert_fires_for_another_fault(report: Report) -> None:
    """What fires while the faults are made is what they are a reason for, and nothing else."""
    assert report.unasked == []


def test_every_alert_has_a_drill_or_a_reason() -> None:
    """Of each alert it is known by which drill it fires, or why it has none."""
    names = {rule["alert"] for rule in alert_rules()}
    assert {alert for _, alert in DRILLED} | PROMTOOL_ONLY.keys() | {WATCHDOG} == names
    assert not {alert for _, alert in DRILLED} & PROMTOOL_ONLY.keys()
