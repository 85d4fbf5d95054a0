"""How we get in: wait for a broker, tell who is refused, check what we may do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from lanternpipe.errors import FatalFailure, RefusedFailure
from lanternpipe.kafka.admin import REQUEST_SECONDS, answer
from lanternpipe.kafka.clients import Events, opened
from lanternpipe.kafka.config import client_config
from lanternpipe.kafka.errors import REFUSED, UNREACHABLE, failure
from lanternpipe.kafka.probe import Seen, knock
from lanternpipe.kafka.refusal import GRANT
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings

ATTEMPT_SECONDS = 1.0
KNOCK_SECONDS = 2.0
WHY_SECONDS = 3.0
FEW = 3  # brokers that are asked for their reasons
# Rights that were just given, and certificates that are being replaced, get so many seconds.
PATIENCE = 10.0
# How long what the client has said counts: for tokens it asks again only every ten seconds.
TOLD_SECONDS = 30.0


class Denial(NamedTuple):
    """Why a broker does not take us, or we not it.

    Attributes:
        code: The client's, or ours.
        reason: For people: where, what, and what to do.
    """

    code: str
    reason: str


class Access(NamedTuple):
    """What somebody has to be allowed to do with topics.

    Attributes:
        reads: Those to read from.
        writes: Those to write to.
    """

    reads: Collection[str] = ()
    writes: Collection[str] = ()


def wait_for_broker(
    kafka: KafkaSettings,
    *,
    log: Log,
    stopping: Callable[[], bool],
    beat: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> AdminClient | None:
    """Wait until a broker answers, saying once that none does.

    Returns an admin client, or None if asked to stop before.

    Args:
        kafka: The connection.
        log: Writes log lines.
        stopping: Whether to give up.
        beat: Called at every attempt.
        clock: Monotonic seconds.

    Raises:
        RefusedFailure: Brokers are there, and for a while none has let us in.
        FatalFailure: The client cannot go on.
    """
    told: list[tuple[float, Denial]] = []
    events = Events("admin", log, refused=lambda *each: told.append((clock(), Denial(*each))))
    admin = opened(AdminClient, {**client_config(kafka), **events.hooks()})
    said: set[str] = set()
    refused_since: float | None = None
    while not stopping():
        beat()
        try:
            admin.list_topics(timeout=ATTEMPT_SECONDS)
        except KafkaException as error:
            cause = error.args[0]
            admin.poll(0)  # the reason behind a "transport failure" comes as an event
            if cause.code() not in UNREACHABLE | REFUSED:
                raise failure(cause, kafka.bootstrap_servers) from error
            del told[:-1]
            denial = denied(kafka, [each for at, each in told if clock() - at < TOLD_SECONDS])
            if denial is None:
                refused_since = None
                if "unreachable" not in said:
                    _say_unreachable(kafka, cause, events, log)
                    said.add("unreachable")
                continue
            now = clock()
            refused_since = now if refused_since is None else refused_since
            if now - refused_since > PATIENCE:
                raise RefusedFailure(*denial) from None
            if "refused" not in said:
                log("error", "access_refused", **denial._asdict())
                said.add("refused")
        else:
            if said:
                log("info", "broker_reachable", brokers=kafka.bootstrap_servers)
            return admin
    return None


def why_not(kafka: KafkaSettings) -> Denial | None:
    """Try to get in once; return why somebody who is there does not let us, if so."""
    told: list[Denial] = []
    events = Events("admin", _silent, refused=lambda *each: told.append(Denial(*each)))
    admin = opened(AdminClient, {**client_config(kafka), **events.hooks()})
    try:
        admin.list_topics(timeout=WHY_SECONDS)
    except KafkaException:
        admin.poll(0)
        return denied(kafka, told)
    return None


def _silent(level: str, event: str, **fields: object) -> None:
    """Log nothing: what matters is returned."""


def denied(kafka: KafkaSettings, told: Sequence[Denial] = ()) -> Denial | None:
    """Find out whether somebody is there and does not let us in.

    Args:
        kafka: The connection.
        told: What the client has said about it.
    """
    if by_extra(kafka):
        return told[-1] if told else None
    seen = [knock(each, kafka.security, KNOCK_SECONDS) for each in kafka.servers[:FEW]]
    if any(each.problem is None for each in seen):  # as far as one gets without a password
        return told[-1] if told else None
    return next((_as_denial(each) for each in seen if each.refused), None)


def by_extra(kafka: KafkaSettings) -> bool:
    """Tell whether how we get in is said in librdkafka's own words, which only it understands."""
    return "security.protocol" in kafka.extra


def _as_denial(seen: Seen) -> Denial:
    return Denial(f"_{seen.stage.upper()}", f"{seen.problem}; {seen.cure}")


def _say_unreachable(kafka: KafkaSettings, cause: KafkaError, events: Events, log: Log) -> None:
    log(
        "warning",
        "broker_unreachable",
        brokers=kafka.bootstrap_servers,
        code=cause.name(),
        reason=events.last.str() if events.last else None,
        hint="trying on; is PIPELINE_KAFKA__BOOTSTRAP_SERVERS right?",
    )


def check_access(admin: AdminClient, access: Access) -> None:
    """Check what we may do with topics, before anything is done.

    Topics that do not exist are left to others.

    Args:
        admin: Connected.
        access: What we have to do.

    Raises:
        RefusedFailure: Something is missing; the message names all of it.
        KafkaFailure: The broker did not answer.
    """
    needed: dict[str, list[AclOperation]] = {}
    for names, operation in zip(access, (AclOperation.READ, AclOperation.WRITE), strict=True):
        for name in names:
            needed.setdefault(name, []).append(operation)
    asked = admin.describe_topics(
        TopicCollection([*needed]),
        include_authorized_operations=True,
        request_timeout=REQUEST_SECONDS,
    )
    missing: list[str] = []
    for name, future in asked.items():
        try:
            allowed = answer(future, f"describing {name}").authorized_operations
        except RefusedFailure:  # to describe it comes with each of them
            lacking = needed[name]
        except FatalFailure:
            continue
        else:  # brokers that do not tell are asked in vain
            lacking = [each for each in needed[name] if allowed and each not in allowed]
        missing += [f"{each.name.lower()} {name}" for each in lacking]
    if missing:
        raise RefusedFailure(
            "TOPIC_AUTHORIZATION_FAILED", f"the user may not {', nor '.join(missing)}; {GRANT}"
        )
