"""``EventProducer`` where there is no broker: what it refuses, and that it never waits for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from msgspec import Struct

from lanternpipe import DeliveryError, EventProducer, Topic
from lanternpipe.errors import ConfigError
from lanternpipe.producer import Delivered
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.doubles import LogBook

DEADLINE = 20.0


class Order(Struct):
    """Something to send."""

    customer: str
    text: str = ""


ORDERS = Topic("orders", Order, key=lambda order: order.customer)


def producer(
    topic: Topic[Order] = ORDERS, client: dict[str, str] | None = None, **options: Any
) -> EventProducer[Order]:
    """Return a producer whose broker is not there."""
    extra = {"message.timeout.ms": "30", "linger.ms": "1", **(client or {})}
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", producer_extra=extra)
    return EventProducer(topic, kafka, **options)


def wait_for_failures(orders: EventProducer[Order], count: int) -> None:
    """Wait until so many events have failed, for a limited time."""
    until = time.monotonic() + DEADLINE
    while orders.failed < count:
        assert time.monotonic() < until, "has not come"
        orders.serve()
        time.sleep(0.005)


class Reports:
    """Takes delivery reports."""

    def __init__(self) -> None:
        self.errors: list[DeliveryError | None] = []
        self.come = threading.Event()

    def __call__(self, error: DeliveryError | None, place: Delivered | None) -> None:
        """Take one."""
        assert place is None
        self.errors.append(error)
        self.come.set()


def test_a_topic_without_key_is_refused() -> None:
    """Where a topic does not say what the key of an event is, nothing can be sent to it."""
    with pytest.raises(ConfigError, match="'orders' declares no key"):
        producer(Topic("orders", Order))


@pytest.mark.parametrize("background", [True, False])
def test_what_cannot_be_delivered_is_reported(background: bool) -> None:
    """An event that the broker did not take is counted, and its sender told why, quietly."""
    keys: list[str] = []

    def key(order: Order) -> str:
        keys.append(order.customer)
        return order.customer

    reports, log = Reports(), LogBook()
    with producer(Topic("orders", Order, key=key), background=background, log=log) as orders:
        orders.send(Order("ann"), on_delivery=reports)
        orders.send(Order("bob"), key=b"a key of its own", headers=[("traceparent", b"00")])
        assert (orders.sent, orders.acknowledged, orders.waiting) == (2, 0, 2)
        wait_for_failures(orders, 2)
    assert reports.come.is_set()
    assert str(reports.errors[0]).startswith("orders: ")
    assert "(_MSG_TIMED_OUT)" in str(reports.errors[0])
    assert orders.waiting == 0
    assert keys == ["ann"]
    assert {level for level, _, _ in log.lines} <= {"debug"}


def test_waiting_for_delivery_ends_with_the_event() -> None:
    """Whoever waits for an event to be stored is told when it was not."""
    with (
        producer(background=False) as orders,
        pytest.raises(DeliveryError, match=r"orders: .*\(_MSG_TIMED_OUT\)"),
    ):
        orders.send_and_wait(Order("ann"), timeout=DEADLINE)


@pytest.mark.parametrize("background", [True, False])
def test_waiting_for_delivery_has_an_end(background: bool) -> None:
    """Whoever waits is told when nobody has answered in time; the event may still arrive."""
    orders = producer(client={"message.timeout.ms": "60000"}, background=background)
    with pytest.raises(DeliveryError, match=r"no answer within 0\.05 s"):
        orders.send_and_wait(Order("ann"), timeout=0.05)
    assert orders.waiting == 1
    assert orders.close(0.01) == 1


def test_a_full_queue_is_waited_for_and_not_for_ever() -> None:
    """When the queue stays full, the sender is told, with the question that helps."""
    client = {"message.timeout.ms": "60000", "queue.buffering.max.messages": "1"}
    orders = producer(client=client, full_timeout=0.05)
    orders.send(Order("ann"))
    with pytest.raises(DeliveryError, match=r"queue of 1 records has been full .* reachable\?"):
        orders.send(Order("bob"))
    assert (orders.sent, orders.waiting) == (1, 1)
    orders.close(0.01)


def test_room_in_the_queue_is_used() -> None:
    """A sender that waits for room goes on as soon as there is some."""
    orders = producer(client={"queue.buffering.max.messages": "1"}, full_timeout=DEADLINE)
    orders.send(Order("ann"))
    orders.send(Order("bob"))
    assert orders.sent == 2
    assert orders.failed == 1
    orders.close(0.01)


def test_an_event_that_is_too_large_is_refused_at_once() -> None:
    """What no broker would take is refused by ``send`` itself, and does not count as sent."""
    with producer() as orders:
        with pytest.raises(DeliveryError, match="MSG_SIZE_TOO_LARGE"):
            orders.send(Order("ann", "x" * 3_000_000))
        assert orders.sent == 0


def test_a_report_that_breaks_does_not_silence_the_others() -> None:
    """When a sender's own callback raises, later events are reported all the same."""

    def broken(error: object, place: object) -> None:
        raise ZeroDivisionError

    reports, log = Reports(), LogBook()
    with producer(log=log) as orders:
        orders.send(Order("ann"), on_delivery=broken)
        orders.send(Order("bob"), on_delivery=reports)
        assert reports.come.wait(DEADLINE)
    assert log.named("on_delivery_failed") == [{"error": "ZeroDivisionError"}]


def test_a_closed_producer_takes_nothing() -> None:
    """What is sent after the end is refused and not lost in silence; closing twice is closing."""
    orders = producer()
    assert orders.close(0.0) == 0
    with pytest.raises(DeliveryError, match="orders: the producer is closed"):
        orders.send(Order("ann"))
    assert orders.close(0.0) == 0
