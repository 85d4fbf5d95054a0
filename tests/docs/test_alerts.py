"""docs/alerts.md tells of every alert as it is."""

from __future__ import annotations

import json

from tests.stack.drills.catalogue import PROMTOOL_ONLY, WATCHDOG, drills
from tests.stack.drills.results import COMMITTED
from tests.stack.drills.shipped import alert_rules
from tests.stack.drills.table import PAGE, page, readable


def test_the_page_is_that_of_the_rules_and_the_results() -> None:
    """The page is what `python -m tests.stack.drills.table` writes from rules and results."""
    assert PAGE.read_text() == page(alert_rules(), json.loads(COMMITTED.read_text()))


def test_every_alert_has_a_drill_or_a_reason() -> None:
    """Of each alert it is known by which drill it fires, or why it has none, and never both."""
    drilled = {alert for drill in drills() for alert in drill.alerts}
    names = {rule["alert"] for rule in alert_rules()}
    assert drilled | PROMTOOL_ONLY.keys() | {WATCHDOG} == names
    assert not drilled & PROMTOOL_ONLY.keys()


def test_every_alert_was_seen() -> None:
    """The committed run saw every alert that has a drill, and in its quiet part the watchdog's."""
    results = json.loads(COMMITTED.read_text())
    assert results["quiet"]["alerts"] == [WATCHDOG]
    seen = {name for name, each in results["alerts"].items() if each["fires_seconds"] is not None}
    assert seen == {rule["alert"] for rule in alert_rules()} - PROMTOOL_ONLY.keys() - {WATCHDOG}


def test_templates_are_readable() -> None:
    """What Prometheus would fill in is told by its name."""
    text = "Group {{ $labels.group }} is {{ $value | humanize }} late ({{ or $labels.job `-` }})"
    assert readable(text) == "Group `group` is … late (…)"
