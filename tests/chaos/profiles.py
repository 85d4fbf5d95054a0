"""What kinds of runs there are: how much is sent, by how many processes, and what happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.chaos.deployment import Deployment
from tests.chaos.faults import Times
from tests.chaos.processor import PROGRAM, Processor
from tests.chaos.proxy import Proxy
from tests.chaos.run import BUSY


@dataclass(frozen=True)
class Profile:
    """One kind of run.

    Attributes:
        records: How many are sent.
        rate: Records per second, until the last tenth, which trickles while faults happen.
        processors: How many there are; the first comes through proxies.
        partitions: Of every topic.
        faults: How often each kind happens.
        at_once: How many processes are killed or stopped together.
        runs: How many runs, each with a seed of its own.
        console: Whether Kafka's own console consumer reads the results, too.
        poison: Share of records that end as dead letters.
        settings: Settings of all processes besides those of every run.
    """

    records: int
    rate: float
    processors: int
    faults: Times
    partitions: int = 6
    at_once: int = 1
    runs: int = 1
    console: bool = False
    poison: float = 0.01
    settings: Mapping[str, str] = field(default_factory=dict)


PROFILES = {
    "short": Profile(
        records=60_000,
        rate=2_500,
        processors=4,
        faults={
            "kill": (1, 1, 1, 2),
            "stop": 1,
            "freeze": (0, 1, 1, 0),
            "join and leave": 1,
            "kill transaction coordinator": (0, 1, 0, 0),
            "kill group coordinator": (0, 0, 1, 0),
            "reset": (1,),
            "half-open": (1,),
            "delay": (1,),
            "drop": (1,),
            "late commit": (2,),
        },
        console=True,
    ),
    "long": Profile(
        records=1_000_000,
        rate=6_000,
        processors=4,
        faults={
            "kill": (6, 8, 6, 12),
            "stop": (2, 2, 2, 2),
            "freeze": (1, 2, 2, 1),
            "join and leave": 3,
            "restart broker": 2,
            "kill broker": 1,
            "kill transaction coordinator": (0, 1, 0, 1),
            "kill group coordinator": (0, 1, 1, 0),
            "reset": (4,),
            "half-open": (2,),
            "delay": (2,),
            "drop": (2,),
            "late commit": (6,),
        },
        console=True,
    ),
    "restarts": Profile(
        records=200_000,
        rate=1_500,
        processors=16,
        partitions=32,
        faults={"kill": 13, "stop": 13, "freeze": 2},
        at_once=8,
    ),
    "seeds": Profile(
        records=20_000,
        rate=3_000,
        processors=3,
        faults={"kill": 2, "freeze": (0, 0, 1), "reset": (1,), "late commit": (1,)},
        runs=20,
    ),
}


def members(
    deployment: Deployment, profile: Profile, doors: list[Proxy], module: tuple[str, ...] = PROGRAM
) -> list[Processor]:
    """Return the processes of a run, different on purpose.

    Under at-least-once none has an instance: there, nothing keeps two processes of one apart.
    """
    by_proxy = {"KAFKA__BOOTSTRAP_SERVERS": ",".join(door.address for door in doors)}
    kinds: list[tuple[str, dict[str, str]]] = [
        ("proxied", by_proxy if doors else {}),
        ("named", {"INSTANCE": "a"}),
        # Large transactions: most kills hit one that is half done.
        ("nameless", {"COMMIT__SHORTEST": "0.5"}),
        # Nothing but commits: many kills hit one.
        ("busy", {"INSTANCE": "b", **BUSY}),
    ]
    kinds += [(f"other-{number}", {}) for number in range(len(kinds), profile.processors)]
    exactly_once = deployment.exactly_once
    return [
        Processor(
            deployment,
            name,
            module=module,
            **{key: value for key, value in own.items() if exactly_once or key != "INSTANCE"},
        )
        for name, own in kinds[: profile.processors]
    ]
