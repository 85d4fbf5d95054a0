"""The one table from what the client reports to what we do about it."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException

from lanternpipe.errors import (
    AbortableFailure,
    FatalFailure,
    FencedFailure,
    KafkaFailure,
    RefusedFailure,
    RetriableFailure,
)
from lanternpipe.kafka.admin import answer
from lanternpipe.kafka.errors import INDEFINITE, RECORD_AT_FAULT, failure, mapped

TABLE: dict[type[KafkaFailure], list[str]] = {
    RetriableFailure: [
        "_TIMED_OUT",
        "_TRANSPORT",
        "_ALL_BROKERS_DOWN",
        "_RESOLVE",
        "_WAIT_COORD",
        "REQUEST_TIMED_OUT",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "NOT_LEADER_FOR_PARTITION",
        "NOT_ENOUGH_REPLICAS",
        "CONCURRENT_TRANSACTIONS",
        "UNSTABLE_OFFSET_COMMIT",
    ],
    AbortableFailure: [
        "ILLEGAL_GENERATION",
        "REBALANCE_IN_PROGRESS",
        "UNKNOWN_MEMBER_ID",
        "STALE_MEMBER_EPOCH",
    ],
    FencedFailure: ["_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "FENCED_INSTANCE_ID"],
    RefusedFailure: [
        "_AUTHENTICATION",
        "_SSL",
        "SASL_AUTHENTICATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
    ],
    FatalFailure: [
        "_FATAL",
        "_STATE",
        "_UNKNOWN_TOPIC",
        "UNSUPPORTED_VERSION",
        "INVALID_TXN_STATE",
        "UNKNOWN",
    ],
}


def error(
    name: str, *, fatal: bool = False, abort: bool = False, again: bool = False
) -> KafkaError:
    """Return a client's error as it comes out of a transactional call."""
    return KafkaError(getattr(KafkaError, name), None, fatal, again, abort)


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for kind, names in TABLE.items() for name in names]
)
def test_codes(name: str, kind: type[KafkaFailure]) -> None:
    """Each code alone, as it comes out of a call without transaction, has its class."""
    found = failure(error(name), "asking")
    assert type(found) is kind
    assert found.code == name


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"fatal": True, "abort": True, "again": True}, FatalFailure),
        ({"abort": True, "again": True}, AbortableFailure),
        ({"again": True}, RetriableFailure),
        ({}, FatalFailure),
    ],
)
def test_flags_are_tried_in_order(flags: dict[str, bool], kind: type[KafkaFailure]) -> None:
    """The client's own words are tried in the order fatal, abortable, retriable, else fatal."""
    assert type(failure(error("UNKNOWN", **flags), "asking")) is kind


@pytest.mark.parametrize("name", TABLE[FencedFailure])
def test_a_fence_comes_before_all(name: str) -> None:
    """Being fenced is told as such, though the client calls it fatal or abortable."""
    assert type(failure(error(name, fatal=True, abort=True), "asking")) is FencedFailure


def test_an_abort_comes_before_asking_again() -> None:
    """A code that is retriable by itself is abortable where the client says so."""
    assert type(failure(error("_TIMED_OUT", abort=True), "asking")) is AbortableFailure


@pytest.mark.parametrize("name", TABLE[RetriableFailure])
def test_doubt_is_told(name: str) -> None:
    """After a time-out or a lost connection nobody knows whether the call was carried out."""
    doubtful = {"_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN", "REQUEST_TIMED_OUT"}
    found = failure(error(name), "asking")
    assert found.indefinite is (name in doubtful)
    assert (getattr(KafkaError, name) in INDEFINITE) is (name in doubtful)


def test_no_record_is_at_fault_for_a_brokers_weakness() -> None:
    """Only codes that say something about the record condemn it."""
    weak = {getattr(KafkaError, name) for name in TABLE[RetriableFailure]}
    assert not weak & RECORD_AT_FAULT
    assert KafkaError.MSG_SIZE_TOO_LARGE in RECORD_AT_FAULT


def test_exceptions_of_the_client_become_ours() -> None:
    """Within a block the client's exceptions are translated, saying what was tried."""
    with pytest.raises(RetriableFailure, match=r"reading offsets: .* \(_TRANSPORT\)") as caught:  # noqa: SIM117
        with mapped("reading offsets"):
            raise KafkaException(error("_TRANSPORT"))
    assert isinstance(caught.value.__cause__, KafkaException)


def test_other_exceptions_pass() -> None:
    """What the client did not raise is left alone."""
    with pytest.raises(ZeroDivisionError), mapped("asking"):
        raise ZeroDivisionError


def test_an_admin_request_that_fails_becomes_ours() -> None:
    """What an admin request ends with is translated as well."""
    future: Future[int] = Future()
    future.set_exception(KafkaException(error("_TRANSPORT")))
    with pytest.raises(RetriableFailure, match="listing offsets"):
        answer(future, "listing offsets")
    future = Future()
    future.set_result(5)
    assert answer(future, "listing offsets") == 5


def test_an_admin_request_without_answer_becomes_ours() -> None:
    """Where the client does not even time out by itself, that is a failure of Kafka, too."""
    future: Future[int] = Future()
    future.set_exception(TimeoutError())  # as ``result`` raises after its time-out
    with pytest.raises(RetriableFailure, match="listing offsets"):
        answer(future, "listing offsets")
