"""The rules of Prometheus: promtool takes and tests them, and nothing in them hangs in the air."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.install import ALERTMANAGER, PROMETHEUS, binary
from tests.stack.promql import OF_TARGETS, OURS, labels_left, metrics, unknown_labels

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy/prometheus"
RUNBOOKS = ROOT / "docs/runbooks"
RULE_FILES = sorted(DEPLOYED.glob("rules/*.yml"))
TEST_FILES = sorted(DEPLOYED.glob("tests/*.yml"))
SEVERITIES = {"page", "ticket", "none"}
MOST_PAGES = 7  # what wakes somebody has to be rare
ALWAYS_FIRES = {"Watchdog"}
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
SECONDS = 150
# How a test asks for what fires.
ASKED = re.compile(r'^ALERTS\{alertname="(\w+)"(?:,alertstate="firing")?\}$')
LABEL_OF_ALERT = re.compile(r'(\w+)="')


def rules() -> list[dict[str, Any]]:
    """Return all rules."""
    groups = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def foreign() -> set[str]:
    """Return the metrics of other programs that rules and dashboards may use."""
    lines = (DEPLOYED / "foreign_metrics.txt").read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def labels_of(metric: str) -> frozenset[str]:
    """Return the labels of a metric of ours, or of a recorded one."""
    if metric in RECORDED:
        return labels_left(RECORDED[metric], labels_of)
    return OURS.get(metric, frozenset()) | OF_TARGETS


def promtool(*arguments: str | Path) -> str:
    """Run promtool, which has to be content, and return what it says."""
    done = subprocess.run(
        [binary(PROMETHEUS, "promtool"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cases() -> tuple[dict[str, set[str]], set[str]]:
    """Return the alerts that are tested firing, with their labels, and those tested silent."""
    fire: dict[str, set[str]] = {}
    silent: set[str] = set()
    for test in [each for file in TEST_FILES for each in yaml.safe_load(file.read_text())["tests"]]:
        for case in test.get("alert_rule_test", []):
            seen = [set(each["exp_labels"]) for each in case["exp_alerts"]]
            note(case["alertname"], seen, fire, silent)
        for case in test.get("promql_expr_test", []):
            if found := ASKED.match(case["expr"]):
                seen = [set(LABEL_OF_ALERT.findall(each["labels"])) for each in case["exp_samples"]]
                note(found[1], seen, fire, silent)
    return fire, silent


def note(alert: str, seen: list[set[str]], fire: dict[str, set[str]], silent: set[str]) -> None:
    """Note what a case of a test expects."""
    if seen:
        fire.setdefault(alert, set()).update(*seen)
    else:
        silent.add(alert)


def test_configuration_is_valid() -> None:
    """Prometheus takes the shipped configuration, with all rule files."""
    said = promtool("check", "config", DEPLOYED / "prometheus.yml")
    assert f"{len(RULE_FILES)} rule files found" in said


def test_slices_are_counted_as_often_as_rules_are_evaluated() -> None:
    """The least number of slices of each window is what the shipped interval makes of it."""
    interval = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())["global"]
    seconds = {"m": 60, "h": 3_600, "d": 86_400}
    found = 0
    for name, expression in RECORDED.items():
        for window, unit, least in re.findall(r"\[(\d+)([mhd])\]\), (\d+)\)", expression):
            found += 1
            assert int(least) == int(window) * seconds[unit] / 15, name
    assert found
    assert interval["evaluation_interval"] == "15s"


def test_routing_is_valid() -> None:
    """Alertmanager takes the shipped configuration, and each severity has its receiver."""
    amtool = str(binary(ALERTMANAGER, "amtool"))
    file = str(DEPLOYED / "alertmanager.yml")
    subprocess.run([amtool, "check-config", file], check=True, capture_output=True, timeout=SECONDS)
    for severity, receiver in {"page": "page", "ticket": "ticket", "none": "watchdog"}.items():
        asked = [amtool, "config", "routes", "test", f"--config.file={file}"]
        told = subprocess.run(
            [*asked, f"severity={severity}", "alertname=Any"],
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert told.stdout.strip() == receiver


def test_rules_are_valid() -> None:
    """The rules parse, and promtool's lint finds nothing, such as a rule that is there twice."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_rules_do_as_their_tests_say(file: Path) -> None:
    """Each alert fires when it should, and is silent when it must be."""
    promtool("test", "rules", file)


def test_every_alert_is_seen_firing_and_silent() -> None:
    """No alert is untested: each has a case in which it fires, and one in which it does not."""
    fire, silent = cases()
    assert fire.keys() == ALERTS.keys()
    assert silent >= ALERTS.keys() - ALWAYS_FIRES


def test_every_recording_rule_is_tested() -> None:
    """A test asks for each recorded metric by its name."""
    tests = yaml.safe_load((DEPLOYED / "tests/recording.yml").read_text())["tests"]
    asked = {
        name
        for test in tests
        for case in test["promql_expr_test"]
        if case["exp_samples"]
        for name in metrics(case["expr"])
    }
    assert asked == RECORDED.keys()


def test_nothing_is_there_twice() -> None:
    """Each alert and each recorded metric has one rule."""
    names = Counter(rule.get("alert") or rule["record"] for rule in rules())
    assert max(names.values()) == 1


@pytest.mark.parametrize("name", ALERTS)
def test_alert_tells_a_person_what_to_do(name: str) -> None:
    """An alert has a severity, a text, a page of its own name and a dashboard that there is."""
    alert = ALERTS[name]
    told = alert["annotations"]
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    assert told.keys() == ANNOTATIONS
    assert told["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}/{name}.md"
    assert (RUNBOOKS / f"{name}.md").read_text().startswith(f"# {name}\n")
    assert told["dashboard_url"].startswith("{{ $externalLabels.grafana }}/d/lanternpipe-")
    assert not told["summary"].endswith(".")


@pytest.mark.parametrize("name", ALERTS)
def test_alert_tells_only_labels_that_it_has(name: str) -> None:
    """The labels in an alert's text are there when it fires, or the text would have holes."""
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(ALERTS[name]["annotations"].values())))
    assert used <= cases()[0][name]


def test_few_alerts_wake_somebody() -> None:
    """Seven alerts page at most, and the one that always fires has no severity."""
    severities = {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}
    assert list(severities.values()).count("page") <= MOST_PAGES
    assert {name for name, severity in severities.items() if severity == "none"} == ALWAYS_FIRES


def test_rules_use_only_what_somebody_tells() -> None:
    """Each metric of a rule is in the catalogue, known of another program, or recorded."""
    used = set().union(*(metrics(rule["expr"]) for rule in rules()))
    assert used <= OURS.keys() | foreign() | RECORDED.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_only_labels_that_there_are(rule: dict[str, Any]) -> None:
    """Each label that a rule matches, joins or groups by is one that its metrics have."""
    assert not unknown_labels(rule["expr"], labels_of)


def test_runbooks_are_listed_by_severity() -> None:
    """The list of the runbooks has each alert below its severity, and nothing else."""
    text = (RUNBOOKS / "README.md").read_text()
    heads = ("## Page", "## Ticket", "## Without severity", "## Without an alert")
    starts = [text.index(head) for head in heads]
    listed = [
        set(re.findall(r"^\| \[(\w+)\]", text[begin:end], re.MULTILINE))
        for begin, end in zip(starts, [*starts[1:], len(text)], strict=True)
    ]
    by = {
        severity: {
            name for name, alert in ALERTS.items() if alert["labels"]["severity"] == severity
        }
        for severity in SEVERITIES
    }
    assert listed[:3] == [by["page"], by["ticket"], by["none"]]
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == set().union(*listed)
