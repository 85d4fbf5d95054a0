"""`lanternpipe topics apply --acls`, and a pipeline that lives by nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.deployment import Deployment
from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.workload import workload
from tests.integration.deployed import drain, send
from tests.security.broker import USERS, SecuredBroker
from tests.security.pipelines import PARTITIONS, QUICK

pytestmark = pytest.mark.kafka


def run(
    deployment: Deployment, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lanternpipe", *arguments],
        env=deployment.environment(**settings),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_the_whole_pipeline_under_four_users(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Each does its part, exactly once, with the rights that are declared for it alone."""
    name = unique("roles")
    users = {role: unique(role) for role in USERS}
    who = [each for role, user in users.items() for each in ("--principal", f"{role}=User:{user}")]
    for user in users.values():
        secured.set_password(user, secured.password(user))

    def settings(role: str) -> dict[str, str]:
        return secured.settings("scram", users[role])

    with Deployment.on(secured.cluster, name, tmp_path, QUICK, partitions=PARTITIONS) as deployment:
        before = run(deployment, "topics", "diff", "--acls", "--json", *who)
        assert before.returncode == 1, before.stderr
        missing = json.loads(before.stdout)["acls"]["missing"]
        applied = run(deployment, "topics", "apply", "--acls", *who)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert applied.stdout.count(": given") == len(missing)
        assert run(deployment, "topics", "diff", "--acls", *who).returncode == 0

        processor = Processor(deployment, "processor", **settings("processor")).start_and_join()
        send(deployment, [*workload(1, 2_000, poison=0.05)])
        produced = run(deployment, "produce", "--count", "100", **settings("producer"))
        assert produced.returncode == 0, produced.stdout + produced.stderr
        drain(deployment)

        letters = run(deployment, "dlq", "stats", "--json", **settings("replayer"))
        assert letters.returncode == 0, letters.stdout + letters.stderr
        replayed = run(deployment, "dlq", "replay", "--yes", "--json", **settings("replayer"))
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr

        lag = run(deployment, "lag", "--json", **settings("observer"))
        assert lag.returncode == 0, lag.stdout + lag.stderr
        place = f"{deployment.input}/0/0"
        journey = run(deployment, "journey", place, "--json", **settings("observer"))
        assert journey.returncode == 0, journey.stdout + journey.stderr
        until(deployment.drained, 60, "the replays are done")
        assert processor.stop() == 0, processor.tail()
        assert not processor.events("access_refused")


def test_what_is_not_declared_is_told_and_taken_back_on_demand(
    secured: SecuredBroker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """A right that somebody gave by hand shows as a difference until it is pruned."""
    user = unique("producer")
    who = ["--principal", f"producer=User:{user}"]
    for role in USERS[1:]:
        who += ["--principal", f"{role}=User:{unique(role)}"]
    with Deployment.on(secured.cluster, unique("prune"), tmp_path, QUICK, partitions=1) as found:
        assert run(found, "topics", "apply", "--acls", *who).returncode == 0
        secured.grant(user, "READ", "TOPIC", found.output)
        secured.grant(user, "WRITE", "TOPIC", found.output, permission="DENY")
        secured.grant(user, "ALTER", "TOPIC", found.output, host="10.0.0.1")
        told = run(found, "topics", "diff", "--acls", *who)
        assert told.returncode == 1
        assert f"User:{user} may read topic {found.output}: not declared" in told.stdout
        assert f"User:{user} may not write topic {found.output}: not declared" in told.stdout
        assert f"may alter topic {found.output} from 10.0.0.1: not declared" in told.stdout
        kept = run(found, "topics", "apply", "--acls", *who)
        assert (kept.returncode, "taken back" in kept.stdout) == (1, False)
        pruned = run(found, "topics", "apply", "--acls", "--prune", *who)
        assert pruned.returncode == 0, pruned.stdout
        assert f"User:{user} may read topic {found.output}: taken back" in pruned.stdout
        assert run(found, "topics", "diff", "--acls", *who).returncode == 0


def test_brokers_without_rights(kafka: KafkaCluster) -> None:
    """They are told apart from those that refuse, with what they lack."""
    servers = kafka.bootstrap_servers
    done = subprocess.run(
        [sys.executable, "-m", "lanternpipe", "topics", "apply", "--acls"],
        env={**os.environ, "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": servers},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5
    assert "they have no authorizer.class.name" in done.stderr
