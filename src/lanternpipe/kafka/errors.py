"""ONE table from what the client reports to what we do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from lanternpipe.errors import (
    AbortableFailure,
    FatalFailure,
    FencedFailure,
    KafkaFailure,
    RefusedFailure,
    RetriableFailure,
)
from lanternpipe.kafka.refusal import cure_of

E = KafkaError

# The outcome of the call is unknown: the request may have been carried out all the same.
INDEFINITE = frozenset({E._TIMED_OUT, E._TRANSPORT, E._ALL_BROKERS_DOWN, E.REQUEST_TIMED_OUT})

# Nobody answers; it may be back soon.
UNREACHABLE = frozenset({E._TRANSPORT, E._ALL_BROKERS_DOWN, E._RESOLVE, E._TIMED_OUT})

# The broker, or the coordinator of the group or transaction, is moving; asking again helps. The
# client marks such errors as retriable only where they come out of a transactional call.
TRANSIENT = UNREACHABLE | {
    E._TIMED_OUT_QUEUE,
    E._WAIT_COORD,
    E.BROKER_NOT_AVAILABLE,
    E.CONCURRENT_TRANSACTIONS,
    E.COORDINATOR_LOAD_IN_PROGRESS,
    E.COORDINATOR_NOT_AVAILABLE,
    E.KAFKA_STORAGE_ERROR,
    E.LEADER_NOT_AVAILABLE,
    E.NETWORK_EXCEPTION,
    E.NOT_CONTROLLER,
    E.NOT_COORDINATOR,
    E.NOT_ENOUGH_REPLICAS,
    E.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    E.NOT_LEADER_FOR_PARTITION,
    E.REPLICA_NOT_AVAILABLE,
    E.REQUEST_TIMED_OUT,
    E.UNSTABLE_OFFSET_COMMIT,
}

# The group has moved on without us: what is open must be done again by the new owners.
GROUP_MOVED_ON = frozenset(
    {
        E.ILLEGAL_GENERATION,
        E.REBALANCE_IN_PROGRESS,
        E.STALE_MEMBER_EPOCH,
        E.UNKNOWN_MEMBER_ID,
    }
)

# Another producer or member with our name has taken over, or our transaction expired.
FENCED = frozenset({E._FENCED, E.PRODUCER_FENCED, E.INVALID_PRODUCER_EPOCH, E.FENCED_INSTANCE_ID})

# The record itself is refused; sending it again would be refused again.
RECORD_AT_FAULT = frozenset(
    {
        E.MSG_SIZE_TOO_LARGE,
        E.INVALID_MSG,
        E.INVALID_MSG_SIZE,
        E.INVALID_RECORD,
        E.INVALID_TIMESTAMP,
        E.POLICY_VIOLATION,
    }
)

# Somebody does not take us, or we do not take them; it passes when rights or settings change.
REFUSED = frozenset(
    {
        E._AUTHENTICATION,
        E._SSL,
        E.CLUSTER_AUTHORIZATION_FAILED,
        E.GROUP_AUTHORIZATION_FAILED,
        E.ILLEGAL_SASL_STATE,
        E.SASL_AUTHENTICATION_FAILED,
        E.TOPIC_AUTHORIZATION_FAILED,
        E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        E.UNSUPPORTED_SASL_MECHANISM,
    }
)

# A consumer that meets one of these will not get better by itself.
CONSUMER_FATAL = frozenset(
    {
        E._FATAL,
        E._FENCED,
        E.FENCED_INSTANCE_ID,
        E.INCONSISTENT_GROUP_PROTOCOL,
        E.INVALID_SESSION_TIMEOUT,
        E.UNRELEASED_INSTANCE_ID,
        E.UNSUPPORTED_VERSION,
    }
)


def failure(error: KafkaError, what: str) -> KafkaFailure:
    """Return our error for the client's: refused, or in the order fatal, abortable, retriable."""
    code = error.code()
    name, text = error.name(), f"{what}: {error.str()}"
    if code in FENCED:
        return FencedFailure(name, text)
    if code in REFUSED:
        return RefusedFailure(name, f"{text}; {cure_of(code, text)}")
    if error.fatal() or code == E._FATAL:
        return FatalFailure(name, text)
    if error.txn_requires_abort() or code in GROUP_MOVED_ON:
        return AbortableFailure(name, text)
    if error.retriable() or code in TRANSIENT:
        return RetriableFailure(name, text, indefinite=code in INDEFINITE)
    return FatalFailure(name, text)


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Turn the client's exceptions within the block into ours."""
    try:
        yield
    except KafkaException as error:
        raise failure(error.args[0], what) from error
