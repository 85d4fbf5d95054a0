"""Proof that the checker sees: it must find something in runs of programs with a mistake."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.chaos.deployment import Deployment
from tests.chaos.faults import Times, schedule
from tests.chaos.profiles import Profile, members
from tests.chaos.proxy import Proxy
from tests.chaos.result import conditions, now, write
from tests.chaos.run import FLAKY, HASTE, endure
from tests.chaos.workload import Sender, workload

STALLED = "not within"
SEED, PROCESSES = 1, 4
LARGE = {"COMMIT__SHORTEST": "0.5"}


@dataclass(frozen=True)
class Trial:
    """A short run that aims at one mistake.

    Attributes:
        faults: How often each kind happens.
        settings: Of all processes.
        protocol: Of the group.
        poison: Share of records that end as dead letters.
        rate: Records per second.
        unfound: Whether this is known not to show the mistake, as docs/reliability.md says.
    """

    faults: Times
    settings: Mapping[str, str] = field(default_factory=dict)
    protocol: str = "classic"
    poison: float = 0.01
    rate: float = 1_500
    unfound: bool = False


KILLS: Times = {"kill": (0, 3, 3)}
KILLS_OF_BUSY: Times = {"kill": (0, 0, 0, 6)}
FREEZE: Times = {"freeze": (0, 0, 1)}
GUESTS: Times = {"join and leave": 3}

TRIALS: dict[str, Trial] = {
    "commit-before-produce": Trial(KILLS_OF_BUSY),
    "late-commit": Trial(KILLS_OF_BUSY),
    "dead-letter-outside": Trial(KILLS, LARGE, poison=0.3),
    "offsets-of-position": Trial(KILLS_OF_BUSY),
    "metadata-at-commit": Trial(FREEZE, LARGE, "consumer", unfound=True),
    "no-abort-on-loss": Trial(FREEZE, LARGE, unfound=True),
    "no-care-for-loss": Trial(FREEZE, LARGE, "consumer", unfound=True),
    "no-commit-on-revoke": Trial(GUESTS, LARGE, unfound=True),
    "no-care-for-revoke": Trial(GUESTS, LARGE, "consumer"),
    "no-rebuild-after-doubt": Trial({"late commit": (4,)}, LARGE),
    "no-rewind": Trial(FREEZE, LARGE),
    "dead-letters-dropped": Trial({"kill": 1}),
    "order-turned": Trial({"kill": 1}, LARGE, rate=6_000),
    "start-at-the-end": Trial({"kill": (0, 1, 1)}),
    "without-transactions": Trial(KILLS, LARGE),
}


def main(
    cluster: KafkaCluster, doors: list[Proxy], folder: Path, only: Sequence[str] | None
) -> int:
    """Try every mutant; return 0 only if each was found, or is known to be missed."""
    found: dict[str, dict[str, Any]] = {}
    taken = conditions(now())
    for name in only or TRIALS:
        began = time.monotonic()
        found[name] = _try(cluster, doors, name, TRIALS[name])
        found[name]["seconds"] = round(time.monotonic() - began)
        print(f"{name}: {found[name]}", flush=True)
    missed = [name for name, each in found.items() if not each["found"]]
    surprising = [name for name in missed if not TRIALS[name].unfound]
    result = {"profile": "mutants", "seed": SEED, **taken, "mutants": found}
    path = write(result, folder, "mutants")
    print(f"{len(found) - len(missed)} of {len(found)} mutants found; {path}")
    return 1 if surprising else 0


def _try(cluster: KafkaCluster, doors: list[Proxy], name: str, trial: Trial) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix=f"lanternpipe-mutant-{name}-"))
    profile = Profile(12_000, trial.rate, PROCESSES, trial.faults)
    settings = {**HASTE, **FLAKY, **trial.settings, "KAFKA__GROUP_PROTOCOL": trial.protocol}
    records = list(workload(SEED, profile.records, poison=trial.poison))
    plan = schedule(SEED, trial.faults, processors=profile.processors)
    with Deployment.on(cluster, f"mutant-{name}", folder, settings) as deployment:
        processors = members(deployment, profile, doors, ("tests.chaos.mutants", name))
        sender = Sender(deployment, records, profile.rate)
        try:
            outcome = endure(cluster, deployment, processors, plan, sender, doors=doors)
        except AssertionError as error:
            said = str(error).splitlines()[0]
            # One that cannot run at all proves nothing about the checker.
            return {"found": said.startswith(STALLED), "by": f"the run failed: {said}"}
    anomalies = {kind: count for kind, count in outcome.report.counts.items() if count}
    told: dict[str, Any] = {"found": bool(anomalies), "by": anomalies}
    if outcome.own_ends:
        told["ended by themselves"] = outcome.own_ends
    return told
