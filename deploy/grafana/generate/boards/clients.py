"""What librdkafka says of itself, by client and broker."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Query, lines, number
from deploy.grafana.generate.words import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    ONE_IS_GOOD,
    RECORDS,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    ZERO_IS_GOOD,
    rising,
)

CLIENT, BROKER = "{{instance}} {{client}}", "{{instance}} {{client}} broker {{broker_id}}"


def _of_clients(metric: str) -> Query:
    return Query(f"max by (instance, client) (rdkafka_{metric}{{<I>}})", CLIENT)


def _rate_of_clients(metric: str) -> Query:
    return Query(f"sum by (instance, client) (rate(rdkafka_{metric}{{<I>}}<R>))", CLIENT)


def _of_brokers(metric: str) -> Query:
    return Query(f"max by (instance, client, broker_id) (rdkafka_broker_{metric}{{<I>}})", BROKER)


def _growth_of_brokers(metric: str) -> Query:
    total = f"rdkafka_broker_{metric}_total{{<I>}}<R>"
    return Query(f"sum by (instance, client, broker_id) (increase({total}))", BROKER)


NUMBERS = (
    number(
        "Oldest statistics",
        "Age of the clients' own statistics; old ones freeze all numbers of this board.",
        SECONDS,
        Query("max(rdkafka_stats_age_seconds{<I>})"),
        steps=rising(30, 60),
        width=6,
    ),
    number(
        "Brokers connected",
        "1 while all connections that were ever needed are there.",
        COUNT,
        Query("min(rdkafka_broker_up{<I>})"),
        steps=ONE_IS_GOOD,
        width=6,
    ),
    number(
        "Fullest producer queue",
        "Of the records that it may hold; at 100 % the processor waits (backpressure).",
        SHARE,
        Query(
            "max(rdkafka_producer_queue_records{<I>} / rdkafka_producer_queue_limit_records{<I>})"
        ),
        steps=rising(0.5, 0.9),
        width=6,
    ),
    number(
        "Held back by quotas",
        "Time for which a broker held a client back, 99 % of answers.",
        SECONDS,
        Query("max(rdkafka_broker_throttle_p99_seconds{<I>})"),
        steps=ZERO_IS_GOOD,
        width=6,
    ),
)
FLOW = (
    lines("Received", "Records from brokers, by client.", RECORDS_PER_SECOND,
          _rate_of_clients("messages_received_total")),
    lines("Sent", "Records to brokers, by client.", RECORDS_PER_SECOND,
          _rate_of_clients("messages_sent_total")),
    lines("Bytes received", "As they come over the network, compressed or not.", BYTES_PER_SECOND,
          _rate_of_clients("message_received_bytes_total")),
    lines("Bytes sent", "As they were produced.", BYTES_PER_SECOND,
          _rate_of_clients("message_sent_bytes_total")),
    lines("Fetched ahead", "Records that are here and not yet handed out. Always 0 under load: "
          "the broker is too slow; always full: we are.", RECORDS,
          _of_clients("fetch_queue_records")),
    lines("Memory fetched ahead", "Bytes of the records that are here and not yet handed out.",
          BYTES, _of_clients("fetch_queue_bytes")),
    lines("Producer queue", "Records that wait to be sent or acknowledged.", RECORDS,
          _of_clients("producer_queue_records"),
          Query("min(rdkafka_producer_queue_limit_records{<I>})", "limit"), log=True),
    lines("Memory of the producer queue", "Bytes that wait to be sent or acknowledged.", BYTES,
          _of_clients("producer_queue_bytes")),
    lines("Events that wait for a poll", "Reports and statistics that nobody has taken. What "
          "grows means that the loop does not poll.", COUNT,
          _of_clients("reply_queue_operations")),
)  # fmt: skip
BROKERS = (
    lines("Round trip", "99 % of requests are quicker. A consumer's includes the time that the "
          "broker waits for records.", SECONDS, _of_brokers("rtt_p99_seconds")),
    lines("Time in the producer's queue", "99 % of records wait less before they are sent.",
          SECONDS, _of_brokers("internal_queue_p99_seconds")),
    lines("Held back by quota", "By the broker's answer, 99 %.", SECONDS,
          _of_brokers("throttle_p99_seconds")),
    lines("Connections", "1 while connected. A broker that was never needed is missing.", COUNT,
          _of_brokers("up"), high=1),
    lines("Requests that wait for an answer", "In flight, by broker.", COUNT,
          _of_brokers("inflight_requests")),
    lines("Disconnects", "Connections that ended, in each interval. Idle ones end, too.", COUNT,
          _growth_of_brokers("disconnects"), bars=True),
    lines("Errors of transmission", "In each interval.", COUNT, _growth_of_brokers("errors"),
          bars=True),
    lines("Requests that timed out", "In each interval.", COUNT,
          _growth_of_brokers("request_timeouts"), bars=True),
    lines("Age of the statistics", "All else on this board is as old.", SECONDS,
          _of_clients("stats_age_seconds"), steps=rising(30, 60)),
)  # fmt: skip
BOARD = Board(
    "lanternpipe-clients",
    "Lanternpipe: client internals",
    "What does the Kafka client do inside?",
    (("Clients", NUMBERS), ("Flow and queues", FLOW), ("Brokers as the client sees them", BROKERS)),
)
