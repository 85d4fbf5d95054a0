"""`lanternpipe doctor` on the secured broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.security.broker import SecuredBroker
from tests.security.pipelines import deployed
from tests.security.test_acls import run

pytestmark = pytest.mark.kafka
WRONG = "wrong"
NO_COLLECTOR = {"TELEMETRY__SIGNALS": "metrics,logs"}


def findings(text: str) -> dict[str, dict[str, Any]]:
    """Return what was found, by what was tried; the worst of several."""
    ranks = ["skipped", "ok", "warning", "problem"]
    found = sorted(json.loads(text), key=lambda each: ranks.index(each["verdict"]))
    return {each["what"]: each for each in found}


def test_all_is_well(secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path) -> None:
    """Each thing is tried and told; what a user may not see is skipped with the reason."""
    with deployed(secured, unique("well"), tmp_path) as pipeline:
        pipeline.grant_all()
        settings = {**secured.settings("scram"), **NO_COLLECTOR}
        done = run(pipeline.deployment, "doctor", "--json", **settings)
        found = findings(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        place = settings["KAFKA__BOOTSTRAP_SERVERS"]
        good = (f"broker {place}", "login", "rights of a processor", "clock")
        assert {name: found[name]["verdict"] for name in good} == dict.fromkeys(good, "ok")
        assert found[f"certificate of {place}"]["verdict"] == "warning"  # it ends in two days
        assert found["limits of the broker"]["verdict"] == "skipped"
        assert secured.password("processor") not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "what", "seen"),
    [
        ({"PASSWORD": WRONG}, "login", "invalid credentials"),
        ({"MECHANISM": "SCRAM-SHA-256"}, "login", "does not know SCRAM-SHA-256"),
    ],
    ids=["wrong password", "wrong mechanism"],
)
def test_who_is_not_let_in(
    secured: SecuredBroker,
    unique: Callable[[str], str],
    tmp_path: Path,
    settings: dict[str, str],
    what: str,
    seen: str,
) -> None:
    """The one thing that is wrong is named with its cure, and the rest is skipped."""
    with deployed(secured, unique("ill"), tmp_path) as pipeline:
        given = {**secured.settings("scram", **settings), **NO_COLLECTOR}
        done = run(pipeline.deployment, "doctor", "--json", **given)
        found = findings(done.stdout)
        assert done.returncode == 1
        assert found[what]["verdict"] == "problem"
        assert seen in found[what]["seen"]
        assert found[what]["cure"]
        assert found["topics, rights, group, retention, clock"]["verdict"] == "skipped"


def test_a_missing_right_and_a_missing_topic(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """They are named, each where it belongs."""
    user = unique("user")
    secured.set_password(user, secured.password(user))
    with deployed(secured, unique("ill"), tmp_path) as pipeline:
        pipeline.grant_all(user, but="write the output")
        given = {**secured.settings("scram", user), **NO_COLLECTOR}
        done = run(pipeline.deployment, "doctor", "--json", **given)
        found = findings(done.stdout)["rights of a processor"]
        assert done.returncode == 1
        assert f"may not write {pipeline.deployment.output}" in found["seen"]
        assert "topics apply --acls" in found["cure"]
        admin = run(
            pipeline.deployment, "doctor", **{**NO_COLLECTOR, "TOPICS__OUTPUT": unique("missing")}
        )
        assert admin.returncode == 1
        assert "does not exist" in admin.stdout


@pytest.mark.parametrize("command", [("lag",), ("topics", "diff"), ("dlq", "stats")])
def test_every_command_says_why(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A wrong password is told as one by all commands, with the code for refusals."""
    with deployed(secured, unique("why"), tmp_path) as pipeline:
        given = secured.settings("scram", PASSWORD=WRONG)
        done = run(pipeline.deployment, *command, **given)
        assert done.returncode == 8, done.stdout + done.stderr
        assert "invalid credentials" in done.stderr
