"""``lanternpipe topics``: compare the broker with what is declared, and make it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lanternpipe.kafka.acls import (
    AclDifferences,
    DeclaredAcl,
    acl_differences,
    create_acls,
    delete_acls,
)
from lanternpipe.kafka.admin import open_admin
from lanternpipe.kafka.config import client_config
from lanternpipe.kafka.topics import DeclaredTopic, Difference, apply, differences, relations
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings

# What `apply` does not touch, and why.
LEFT_TO_YOU = {
    "partitions": " (not changed: keys would move to other partitions and lose their order)",
    "replicas": " (not changed: that is a reassignment, which moves data)",
}


class AclReport(NamedTuple):
    """What was found about rights.

    Attributes:
        differences: Between the brokers and the declaration.
        given: Rights that were missing before.
        taken: Rights that were there before and not declared.
    """

    differences: AclDifferences
    given: Sequence[DeclaredAcl] = ()
    taken: Sequence[DeclaredAcl] = ()

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.differences.missing or self.differences.unexpected)

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        told = {**self.differences._asdict(), "given": self.given, "taken": self.taken}
        return {name: [each._asdict() for each in acls] for name, acls in told.items()}

    def lines(self) -> Iterator[str]:
        """Return the report for people."""
        yield from (f"{each}: given" for each in self.given)
        yield from (f"{each}: taken back" for each in self.taken)
        yield from (f"{each}: missing" for each in self.differences.missing)
        yield from (
            f"{each}: not declared (`lanternpipe topics apply --acls --prune` takes it back)"
            for each in self.differences.unexpected
        )
        if not self.differs:
            yield "the rights are as declared"


class TopicReport(NamedTuple):
    """What was found.

    Attributes:
        differences: Between the broker and the declaration.
        done: Differences that were there before and are not any more.
        warnings: Settings that are right alone and wrong together.
    """

    differences: list[Difference]
    warnings: list[str]
    done: Sequence[Difference] = ()

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "differences": [each._asdict() for each in self.differences],
            "warnings": self.warnings,
            "done": [each._asdict() for each in self.done],
        }

    def lines(self) -> Iterator[str]:
        """Return the report for people."""
        for each in self.done:
            if each.what == "missing":
                yield f"{each.topic}: created with {each.declared} partitions"
            else:
                yield f"{each.topic}: {each.what} set to {each.declared}, was {each.actual}"
        for each in self.differences:
            yield f"{each}{LEFT_TO_YOU.get(each.what, '')}"
        yield from (f"warning: {text}" for text in self.warnings)
        if not self.differences:
            yield "the topics are as declared"


def diff(
    kafka: KafkaSettings, declared: Iterable[DeclaredTopic], source: str, output: str, *, log: Log
) -> TopicReport:
    """Compare the topics on the broker with their declaration.

    Raises:
        KafkaFailure: The broker did not answer.
    """
    declared = list(declared)
    admin = open_admin(client_config(kafka), log=log)
    found = differences(admin, declared)
    return TopicReport(found, relations(admin, [each.name for each in declared], source, output))


def make_so(
    kafka: KafkaSettings, declared: Iterable[DeclaredTopic], source: str, output: str, *, log: Log
) -> TopicReport:
    """Create and correct topics; report what only a person can decide.

    Raises:
        KafkaFailure: The broker did not answer, or refused.
    """
    declared = list(declared)
    done = apply(open_admin(client_config(kafka), log=log), declared)
    return diff(kafka, declared, source, output, log=log)._replace(done=done)


def diff_acls(kafka: KafkaSettings, declared: Sequence[DeclaredAcl], *, log: Log) -> AclReport:
    """Compare the rights on the brokers with their declaration.

    Raises:
        KafkaFailure: The broker did not answer, refused, or knows no rights.
    """
    return AclReport(acl_differences(open_admin(client_config(kafka), log=log), declared))


def make_acls_so(
    kafka: KafkaSettings, declared: Sequence[DeclaredAcl], *, prune: bool, log: Log
) -> AclReport:
    """Give what is missing, and take back what is not declared if asked to.

    Raises:
        KafkaFailure: The broker did not answer, refused, or knows no rights.
    """
    admin = open_admin(client_config(kafka), log=log)
    before = acl_differences(admin, declared)
    create_acls(admin, before.missing)
    taken = before.unexpected if prune else []
    delete_acls(admin, taken)
    left = [] if prune else before.unexpected
    return AclReport(AclDifferences([], left), before.missing, taken)
