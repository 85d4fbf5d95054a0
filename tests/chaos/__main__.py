"""Runs chaos from the command line: ``python -m tests.chaos --profile short --seed 1``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lanternpipe.testing.kafka_cluster import KafkaCluster, kafka_cluster
from tests.chaos import mutation
from tests.chaos.deployment import Deployment
from tests.chaos.faults import BROKERS, OF_TRANSACTIONS, Times, schedule
from tests.chaos.profiles import PROFILES, Profile, members
from tests.chaos.proxy import LateCommit, Proxy
from tests.chaos.result import ROOT, conditions, figures, good, now, write
from tests.chaos.run import FLAKY, HASTE, PROPERTIES, endure
from tests.chaos.workload import Sender, workload

RESULTS = ROOT / "build" / "chaos"
EPILOG = "Example: python -m tests.chaos --profile long --seed 7 --protocol consumer"


def main() -> int:
    """Do the runs; return 0 only if all of them kept their promise."""
    given = _options()
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        del os.environ[name]
    with brokers() as (cluster, doors):
        if given.profile == "mutants":
            return mutation.main(cluster, doors, RESULTS, given.only)
        profile = PROFILES[given.profile]
        seeds = range(given.seed, given.seed + (given.runs or profile.runs))
        verdicts = [run(cluster, doors, given, profile, seed) for seed in seeds]
    print(f"{sum(verdicts)} of {len(verdicts)} runs are as promised")
    return 0 if all(verdicts) else 1


@contextmanager
def brokers() -> Iterator[tuple[KafkaCluster, list[Proxy]]]:
    """Run three brokers with a proxy before each."""
    with ExitStack() as stack:
        late = LateCommit()
        doors = [stack.enter_context(Proxy(late)) for _ in BROKERS]
        ports = [door.port for door in doors]
        cluster = stack.enter_context(
            kafka_cluster(len(BROKERS), properties=PROPERTIES, side_doors=ports)
        )
        for number, door in zip(BROKERS, doors, strict=True):
            door.lead_to(cluster.side_door(number))
        yield cluster, doors


def run(
    cluster: KafkaCluster,
    doors: list[Proxy],
    given: argparse.Namespace,
    profile: Profile,
    seed: int,
) -> bool:
    """Do one run, write its result file, and say whether it kept its promise."""
    name = f"{given.profile}-{given.protocol}-{given.delivery}-{seed}"
    print(f"{name}: {profile.records:,} records, {profile.processors} processes", flush=True)
    result: dict[str, Any] = {
        "profile": given.profile,
        "seed": seed,
        "protocol": given.protocol,
        "delivery": given.delivery,
        "processors": profile.processors,
        "partitions": profile.partitions,
        "brokers": len(BROKERS),
        **conditions(now()),
    }
    settings = {
        **HASTE,
        **FLAKY,
        **profile.settings,
        "DELIVERY": given.delivery,
        "KAFKA__GROUP_PROTOCOL": given.protocol,
    }
    folder = Path(tempfile.mkdtemp(prefix=f"lanternpipe-{name}-"))
    records = list(workload(seed, profile.records, poison=profile.poison))
    faults: Times = {
        kind: often
        for kind, often in profile.faults.items()
        if given.delivery == "exactly-once" or kind not in OF_TRANSACTIONS
    }
    plan = schedule(seed, faults, processors=profile.processors, at_once=profile.at_once)
    kept = False
    with Deployment.on(
        cluster, name, folder, settings, partitions=profile.partitions
    ) as deployment:
        processors = members(deployment, profile, doors)
        sender = Sender(deployment, records, profile.rate, skewed=True)
        try:
            outcome = endure(
                cluster, deployment, processors, plan, sender, doors=doors, console=profile.console
            )
        except AssertionError as error:
            print(f"{name}: {error}\nlogs in {folder}", flush=True)
            result["error"] = str(error).splitlines()[0]
        else:
            kept = good(outcome, given.delivery)
            result.update(figures(outcome))
    result["verdict"] = "as promised" if kept else "broken"
    print(f"{name}: {result['verdict']}; {write(result, RESULTS, name)}", flush=True)
    return kept


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, epilog=EPILOG
    )
    parser.add_argument("--profile", choices=[*PROFILES, "mutants"], default="short")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--runs", type=int, help="how many seeds (default: the profile's)")
    parser.add_argument("--protocol", choices=["classic", "consumer"], default="classic")
    parser.add_argument(
        "--delivery", choices=["exactly-once", "at-least-once"], default="exactly-once"
    )
    parser.add_argument("--only", nargs="*", help="names of mutants (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
