"""Check a history of sends and reads, and count what went wrong by its Jepsen name.

The names are those of Jepsen's Kafka workload where it has one (G1a is spelt out: aborted-read).
Where the plain definition would accuse the innocent or name one defect twice, ours is narrower:

* `lost-write` needs a later record of the key in the topic where the lost one belongs. Only then
  has the reader passed its place; a later one in the other topic proves nothing, since the two
  topics are read independently, so that is `unseen` (lost too, or the reading stopped early).
* `reordering` and `moved-key` look at one partition and one topic each. Offsets of two partitions
  have no order, and topics may differ in their number of partitions. Both leave out records whose
  key was changed: those belong elsewhere by right, and are `wrong-key`.
* `reordering` looks at the first copy of an id in a partition. A redelivered batch (1 2 1 2) is
  two duplicates and not a change of order. Every record behind a later one of its key counts.
* `nonmonotonic-poll` compares neighbours as Jepsen does, so one rewind counts once.
* `inconsistent-offsets` also counts a key that changed between two reads of one position.

A position read again is not a duplicate. Counted are ids (lost-write, unseen), keys per topic
(moved-key), reads (nonmonotonic-poll) and distinct records at positions (all others).

One call is for one reader (a second would hide what the first one missed) who read every partition
to its end, and one stage (a replayed letter is a new send). A null key needs a name: use the id.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, NamedTuple, get_args

Topic = Literal["processed", "dead_lettered"]
Fate = Literal["processed", "filtered", "dead_lettered"]
Ack = Literal["acknowledged", "failed", "unknown"]

TOPICS: tuple[Topic, ...] = get_args(Topic)
FATES: tuple[Fate, ...] = get_args(Fate)
ACKS: tuple[Ack, ...] = get_args(Ack)

ANOMALIES = {
    "lost-write": "acknowledged, not seen, though a later record of its key was",
    "unseen": "acknowledged, not seen, and no later record of its key either",
    "duplicate": "one id at a further position",
    "aborted-read": "seen, although its send failed (G1a)",
    "phantom-read": "seen, but never sent",
    "misrouted": "seen in a topic that is not its fate",
    "reordering": "seen behind a later record of its key",
    "inconsistent-offsets": "another record at a position that was read before",
    "nonmonotonic-poll": "a partition's offset not above the one read before it",
    "wrong-key": "seen with another key than it was sent with",
    "moved-key": "one key in several partitions of a topic",
}
MAX_EXAMPLES = 5


class Sent(NamedTuple):
    """One send: its place among the sends of its key, what must become of it, what is known.

    A trap: a send that timed out may still be in the log. It is "unknown", not "failed".
    """

    id: str
    key: str
    sequence: int
    fate: Fate
    ack: Ack


class Seen(NamedTuple):
    """One record as a read_committed reader got it."""

    id: str
    key: str
    topic: Topic
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked and what was found; an empty history is ok, so look at the sizes too."""

    acks: dict[Ack, int]
    seen: int
    counts: dict[str, int]
    examples: dict[str, list[str]]

    @property
    def ok(self) -> bool:
        """Whether no anomaly of any kind was found."""
        return not any(self.counts.values())

    def summary(self) -> str:
        """Return the report for people: sizes, verdict, a line per anomaly with its examples."""
        acks = ", ".join(f"{count:,} {ack}" for ack, count in self.acks.items())
        lines = [
            f"history: {sum(self.acks.values()):,} sent ({acks}), {self.seen:,} seen",
            "verdict: " + ("ok" if self.ok else f"{sum(self.counts.values()):,} anomalies"),
        ]
        for name, count in self.counts.items():
            lines.append(f"{name:<21}{count:>9,}  {ANOMALIES[name]}")
            lines += [f"    {example}" for example in self.examples[name]]
        return "\n".join(lines)


class _Findings:
    """The counts and the first examples of each anomaly, as they come up."""

    __slots__ = ("counts", "examples")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(ANOMALIES, 0)
        self.examples: dict[str, list[str]] = {name: [] for name in ANOMALIES}

    def add(self, anomaly: str, *where: Sent | Seen) -> None:
        self.counts[anomaly] += 1
        if len(self.examples[anomaly]) < MAX_EXAMPLES:
            self.examples[anomaly].append(" after ".join(map(_describe, where)))


def check(sent: Iterable[Sent], seen: Iterable[Seen]) -> Report:
    """Compare what was sent with what one reader saw, in linear time but for a sort by offset.

    `sent` may come in any order, `seen` in the order of reading. Raises ValueError for a history
    that cannot be judged: an id sent twice, or a fate, ack or topic that is none.
    """
    findings = _Findings()
    sends = _sends_by_id(sent)
    partitions = _by_partition(seen, findings)
    group_of: dict[str, int] = {}
    furthest: dict[str, dict[str, int]] = {topic: {} for topic in TOPICS}
    homes: dict[str, dict[str, int]] = {topic: {} for topic in TOPICS}
    moved: set[tuple[str, str]] = set()

    for group, place in enumerate(sorted(partitions)):
        topic, partition = place
        home = homes[topic]
        latest: dict[str, int] = {}
        for record in _positions(partitions[place], findings):
            previous_group = group_of.get(record.id)
            group_of[record.id] = group
            if previous_group is not None:
                findings.add("duplicate", record)
            send = sends.get(record.id)
            if send is None:
                findings.add("phantom-read", record)
                continue
            if not _keeps_key(record, send, findings):
                continue
            key = record.key
            if home.setdefault(key, partition) != partition and (topic, key) not in moved:
                moved.add((topic, key))
                findings.add("moved-key", record)
            if previous_group == group:
                continue
            before = latest.get(key)
            if before is None or send.sequence > before:
                latest[key] = send.sequence
            else:
                findings.add("reordering", record)
        _raise_to(furthest[topic], latest)

    _judge_missing((s for s in sends.values() if s.id not in group_of), furthest, findings)

    return Report(
        acks=_count_acks(sends.values()),
        seen=sum(map(len, partitions.values())),
        counts=findings.counts,
        examples=findings.examples,
    )


def _sends_by_id(sent: Iterable[Sent]) -> dict[str, Sent]:
    sends: dict[str, Sent] = {}
    for send in sent:
        # A misspelt word from a file would otherwise pass for "unknown" and hide a loss.
        if send.fate not in FATES or send.ack not in ACKS:
            raise ValueError(f"no such fate or ack: {send}")
        if send.id in sends:
            raise ValueError(f"id sent twice: {sends[send.id]} and {send}")
        sends[send.id] = send
    return sends


def _by_partition(seen: Iterable[Seen], findings: _Findings) -> dict[tuple[Topic, int], list[Seen]]:
    """Split the reads by partition, each in the order of reading, and judge that order."""
    partitions: dict[tuple[Topic, int], list[Seen]] = {}
    for record in seen:
        records = partitions.setdefault((record.topic, record.partition), [])
        if not records:
            if record.topic not in TOPICS:
                raise ValueError(f"no such topic: {record}")
        elif record.offset <= records[-1].offset:
            findings.add("nonmonotonic-poll", record, records[-1])
        records.append(record)
    return partitions


def _positions(records: list[Seen], findings: _Findings) -> Iterator[Seen]:
    """Yield a partition's records by offset, each once however often it was read there."""
    offset: int | None = None
    key_of: dict[str, str] = {}
    for record in sorted(records, key=attrgetter("offset")):
        if record.offset != offset:
            offset = record.offset
            key_of.clear()
        elif key_of.get(record.id) == record.key:
            continue
        else:
            findings.add("inconsistent-offsets", record)
            if record.id in key_of:
                continue
        key_of[record.id] = record.key
        yield record


def _keeps_key(record: Seen, send: Sent, findings: _Findings) -> bool:
    """Judge a record by its own send, and tell whether it still has its key."""
    if send.ack == "failed":
        findings.add("aborted-read", record)
    if send.fate != record.topic:
        findings.add("misrouted", record)
    if send.key != record.key:
        findings.add("wrong-key", record)
        return False
    return True


def _judge_missing(
    missing: Iterable[Sent], furthest: dict[str, dict[str, int]], findings: _Findings
) -> None:
    for send in missing:
        if send.ack == "acknowledged" and send.fate != "filtered":
            passed = furthest[send.fate].get(send.key, send.sequence) > send.sequence
            findings.add("lost-write" if passed else "unseen", send)


def _raise_to(furthest: dict[str, int], latest: dict[str, int]) -> None:
    for key, sequence in latest.items():
        furthest[key] = max(sequence, furthest.get(key, sequence))


def _count_acks(sends: Iterable[Sent]) -> dict[Ack, int]:
    counts = dict.fromkeys(ACKS, 0)
    for send in sends:
        counts[send.ack] += 1
    return counts


def _describe(item: Sent | Seen) -> str:
    if isinstance(item, Sent):
        return f"{item.id} (send {item.sequence} of key {item.key}, {item.fate})"
    return f"{item.id} (key {item.key}) at {item.topic}/{item.partition}@{item.offset}"
