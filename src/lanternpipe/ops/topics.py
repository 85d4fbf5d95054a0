"""``lanternpipe topics``: compare the broker with what is declared, and make it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lanternpipe.kafka.admin import open_admin
from lanternpipe.kafka.config import client_config
from lanternpipe.kafka.topics import DeclaredTopic, Difference, apply, differences, relations
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings


class TopicReport(NamedTuple):
    """What was found.

    Attributes:
        differences: Between the broker and the declaration.
        warnings: Settings that are right alone and wrong together.
    """

    differences: list[Difference]
    warnings: list[str]

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "differences": [each._asdict() for each in self.differences],
            "warnings": self.warnings,
        }

    def lines(self) -> Iterator[str]:
        """Return the report for people."""
        yield from map(str, self.differences)
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
    apply(open_admin(client_config(kafka), log=log), declared)
    return diff(kafka, declared, source, output, log=log)
