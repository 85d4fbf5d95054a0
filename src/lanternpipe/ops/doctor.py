"""``lanternpipe doctor``: all that has to be right, tried one by one; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from lanternpipe.errors import LanternpipeError, RefusedFailure
from lanternpipe.kafka.admin import LogEnds, broker_setting, group_offsets, open_admin
from lanternpipe.kafka.config import client_config
from lanternpipe.kafka.entry import Access, by_extra, check_access, why_not
from lanternpipe.kafka.probe import Seen, knock
from lanternpipe.kafka.topics import DeclaredTopic, differences, relations, topic_config
from lanternpipe.ops.lag import LagReader
from lanternpipe.ports import Log
from lanternpipe.records import TopicPartition
from lanternpipe.settings import Settings

Verdict: TypeAlias = Literal["ok", "warning", "problem", "skipped"]

MARKS: dict[Verdict, str] = {"ok": "✓", "warning": "!", "problem": "✗", "skipped": "-"}
KNOCK_SECONDS = 3.0
DAY = 86_400.0
EXPIRY_WARNING = 30 * DAY
SKEW_WARNING = 60.0
# The share of the retention that the oldest unread record may have used up.
RETENTION_SHARE = 0.5
# What the group protocol of KIP-848 leaves to the broker.
BROKER_DECIDES = ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy")


class Finding(NamedTuple):
    """What came of one look.

    Attributes:
        what: Was tried.
        verdict: How it is.
        seen: What was found.
        cure: What to do about it.
    """

    what: str
    verdict: Verdict
    seen: str
    cure: str = ""


class Patient(NamedTuple):
    """What is looked at.

    Attributes:
        settings: What is in force.
        declared: All topics as they should be.
        input: Name of the input topic.
        output: Name of the output topic.
        access: What a processor reads and writes.
    """

    settings: Settings
    declared: Sequence[DeclaredTopic]
    input: str
    output: str
    access: Access


def examine(
    patient: Patient,
    *,
    collector: Callable[[], bool],
    log: Log,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Yield one finding after the other; what cannot be tried is skipped, with the reason.

    Args:
        patient: What is looked at.
        collector: Tells whether the Collector takes spans.
        log: Writes log lines.
        clock: Seconds since 1970.
    """
    settings = patient.settings
    yield from of_settings(settings)
    kafka = settings.kafka
    seen = []
    if by_extra(kafka):
        yield Finding("brokers", "skipped", "EXTRA says how to get in")
    else:
        seen = [knock(address, kafka.security, KNOCK_SECONDS) for address in kafka.servers]
    for each in seen:
        yield from of_broker(each, clock())
    denial = why_not(kafka)
    if denial is None and (not seen or any(each.problem is None for each in seen)):
        yield Finding("login", "ok", f"as {kafka.security.username or 'nobody special'}")
        for what, look in (
            ("topics", _topics),
            ("rights", _rights),
            ("limits of the broker", _limits),
            ("group", _group),
            ("retention", _retention),
            ("clock", _clock),
        ):
            yield from _tried(what, look, patient, log, clock)
    else:
        reason, _, cure = (denial.reason if denial else "no broker answers").partition("; ")
        yield Finding("login", "problem", reason, cure or "see above")
        yield Finding("topics, rights, group, retention, clock", "skipped", "no broker lets us in")
    yield of_collector(settings, collector)


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Look at what is right alone and wrong together. Pure."""
    kafka = settings.kafka
    yield Finding("settings", "ok", f"{settings.app}, group {kafka.group_id}, {settings.delivery}")
    given = {**kafka.extra, **kafka.consumer_extra}
    if kafka.group_protocol == "consumer" and (unfit := [*filter(given.get, BROKER_DECIDES)]):
        yield Finding(
            "group protocol",
            "problem",
            f"{', '.join(unfit)} set by EXTRA, which the protocol `consumer` does not know",
            "take it away, or choose PIPELINE_KAFKA__GROUP_PROTOCOL=classic",
        )
    if settings.shutdown_grace < settings.lookup.timeout:
        yield Finding(
            "clean stop",
            "warning",
            f"PIPELINE_SHUTDOWN_GRACE ({settings.shutdown_grace:g} s) is below "
            f"PIPELINE_LOOKUP__TIMEOUT ({settings.lookup.timeout:g} s): a stop may be cut short",
            "let the grace be the longer one",
        )
    if kafka.security.mode == "plaintext" and "security.protocol" not in kafka.extra:
        yield Finding(
            "encryption",
            "warning",
            "none: passwords and personal data would go over an open line",
            "where that matters, choose PIPELINE_KAFKA__SECURITY__MODE (docs/security.md)",
        )


def of_broker(seen: Seen, now: float) -> Iterator[Finding]:
    """Look at what came of knocking at one broker. Pure."""
    what = f"broker {seen.address}"
    if seen.problem is not None:
        yield Finding(what, "problem", seen.problem, seen.cure)
        return
    yield Finding(what, "ok", f"speaks Kafka; logins: {', '.join(seen.mechanisms or ('none',))}")
    if seen.ends is not None:
        days = (seen.ends - now) / DAY
        verdict: Verdict = "ok" if seen.ends - now > EXPIRY_WARNING else "warning"
        yield Finding(
            f"certificate of {seen.address}",
            verdict,
            f"ends in {days:.0f} days",
            "" if verdict == "ok" else "have it renewed",
        )


def of_collector(settings: Settings, collector: Callable[[], bool]) -> Finding:
    """Look whether somebody takes our spans."""
    if "traces" not in settings.telemetry:
        return Finding("Collector", "skipped", "PIPELINE_TELEMETRY__SIGNALS has no traces")
    if collector():
        return Finding("Collector", "ok", "takes spans")
    return Finding(
        "Collector",
        "warning",
        "takes no spans; records are processed all the same",
        "set OTEL_EXPORTER_OTLP_ENDPOINT, or PIPELINE_TELEMETRY__SIGNALS=metrics,logs",
    )


def lines(finding: Finding) -> Iterator[str]:
    """Yield a finding for people."""
    yield f"{MARKS[finding.verdict]} {finding.what}: {finding.seen}"
    if finding.cure:
        yield f"  → {finding.cure}"


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst of all verdicts."""
    verdicts = {each.verdict for each in findings}
    ranks: tuple[Verdict, ...] = ("problem", "warning", "ok")
    return next((rank for rank in ranks if rank in verdicts), "skipped")


def _refusal(what: str, verdict: Verdict, refused: RefusedFailure) -> Finding:
    reason, _, cure = str(refused).partition("; ")
    return Finding(what, verdict, reason, cure)


Look: TypeAlias = Callable[[Patient, Log, Callable[[], float]], Iterator[Finding]]


def _tried(
    what: str, look: Look, patient: Patient, log: Log, clock: Callable[[], float]
) -> Iterator[Finding]:
    try:
        yield from look(patient, log, clock)
    except RefusedFailure as refused:
        # No right that a processor needs: those are looked at by themselves.
        reason = str(refused).partition("; ")[0]
        yield Finding(what, "skipped", reason, "the observer, or an administrator, can see this")
    except LanternpipeError as error:
        yield Finding(what, "problem", str(error))


def _topics(patient: Patient, log: Log, _: Callable[[], float]) -> Iterator[Finding]:
    admin = open_admin(client_config(patient.settings.kafka), log=log)
    found = differences(admin, patient.declared)
    for each in found:
        verdict: Verdict = "problem" if each.what == "missing" else "warning"
        yield Finding("topics", verdict, str(each), "`lanternpipe topics apply`")
    names = [each.name for each in patient.declared]
    for text in relations(admin, names, patient.input, patient.output):
        yield Finding("topics", "warning", text)
    if not found:
        yield Finding("topics", "ok", f"{len(names)} are as declared")


def _rights(patient: Patient, log: Log, _: Callable[[], float]) -> Iterator[Finding]:
    admin = open_admin(client_config(patient.settings.kafka), log=log)
    try:
        check_access(admin, patient.access)
    except RefusedFailure as refused:
        yield _refusal("rights of a processor", "problem", refused)
    else:
        yield Finding("rights of a processor", "ok", "may read and write what it has to")


def _limits(patient: Patient, log: Log, _: Callable[[], float]) -> Iterator[Finding]:
    kafka = patient.settings.kafka
    admin = open_admin(client_config(kafka), log=log)
    limit = int(broker_setting(admin, "transaction.max.timeout.ms")) / 1_000
    if patient.settings.delivery == "exactly-once" and kafka.transaction_timeout > limit:
        yield Finding(
            "limits of the broker",
            "problem",
            f"PIPELINE_KAFKA__TRANSACTION_TIMEOUT is {kafka.transaction_timeout:g} s, and the "
            f"broker's transaction.max.timeout.ms {limit:g} s",
            "lower the one, or raise the other",
        )
    else:
        yield Finding("limits of the broker", "ok", f"transactions may last {limit:g} s")


def _group(patient: Patient, log: Log, _: Callable[[], float]) -> Iterator[Finding]:
    kafka = patient.settings.kafka
    place = TopicPartition(patient.input, 0)
    try:
        found = group_offsets(client_config(kafka), kafka.group_id, [place], log=log)
    except RefusedFailure as refused:
        yield _refusal(f"group {kafka.group_id}", "problem", refused)
        return
    begun = found[place] is not None
    seen = (
        "has committed" if begun else f"has committed nothing; begins at {patient.settings.start}"
    )
    yield Finding(f"group {kafka.group_id}", "ok", seen)


def _retention(patient: Patient, log: Log, _: Callable[[], float]) -> Iterator[Finding]:
    kafka = patient.settings.kafka
    admin = open_admin(client_config(kafka), log=log)
    kept = int(topic_config(admin, patient.input)["retention.ms"]) / 1_000
    lag = max(each.seconds or 0.0 for each in LagReader(kafka, [patient.input], log=log).read())
    if kept >= 0 and lag > kept * RETENTION_SHARE:
        yield Finding(
            "retention",
            "problem",
            f"the oldest unread record is {lag:.0f} s old, and {patient.input} keeps {kept:.0f} s",
            "start more processors, or raise retention.ms: records are about to be deleted unread",
        )
    else:
        yield Finding("retention", "ok", f"the oldest unread record is {lag:.0f} s old")


def _clock(patient: Patient, log: Log, clock: Callable[[], float]) -> Iterator[Finding]:
    kafka = patient.settings.kafka
    newest = LogEnds(client_config(kafka), log=log).newest(patient.input)
    ahead = newest / 1_000 - clock()
    if newest and ahead > SKEW_WARNING:
        yield Finding(
            "clock",
            "warning",
            f"a record in {patient.input} is from {ahead:.0f} s in the future",
            "compare the clocks of this machine and of the producers with a time server",
        )
    else:
        yield Finding("clock", "ok", f"no record in {patient.input} is from the future")
