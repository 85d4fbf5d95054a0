"""Everything that is told to the outside, declared once: metrics, spans, attributes, log lines.

Names follow OpenTelemetry's messaging conventions where these have one, pinned to ``SEMCONV``;
``docs/metrics.md`` is generated from here, and nothing else may be shown, alerted on or documented.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

SEMCONV: Final = "1.44.0"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{SEMCONV}"

Kind = Literal["counter", "gauge", "histogram", "info"]
Teller = Literal["processor", "producer", "lag"]


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: As in Prometheus, without the suffixes that it adds by kind.
        kind: Its type.
        unit: Of its value, in words; empty where there is none.
        labels: Names of its labels.
        meaning: One sentence.
        zeros: Label values, of the last labels, that exist at 0 before anything has happened.
        teller: Which program tells it.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    zeros: tuple[tuple[str, ...], ...] = ()
    teller: Teller = "processor"

    @property
    def exposed(self) -> str:
        """The name by which Prometheus knows the metric."""
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


GROUP: Final = ("group",)
PARTITION: Final = ("group", "topic", "partition")
CLIENT: Final = ("client",)
BROKER: Final = ("client", "broker_id")
OPERATION: Final = ("messaging_operation_name", "messaging_destination_name", "error_type")

BUILD = Metric(
    "pipeline_build",
    "info",
    "",
    ("version", "python", "librdkafka", "semconv"),
    "The running version, and of what it is made.",
)
CONFIG = Metric(
    "pipeline_config",
    "info",
    "",
    ("app", "group", "delivery", "fingerprint"),
    "What is run and how; the fingerprint differs where any setting does.",
)
CONSUMED = Metric(
    "messaging_client_consumed_messages",
    "counter",
    "records",
    ("messaging_destination_name", "messaging_consumer_group_name"),
    "Deliveries handed to this process.",
)
RECORDS = Metric(
    "pipeline_records",
    "counter",
    "records",
    ("group", "outcome", "cause", "reason"),
    "Deliveries by their final outcome, counted at commit; the cause is the input, the pipeline, "
    "the broker, a rebalance or a retry.",
    zeros=(
        ("processed", "", ""),
        ("filtered", "", ""),
        ("retried", "", ""),
        ("dead_lettered", "input", ""),
        ("dead_lettered", "pipeline", ""),
        ("duplicate", "", ""),
        ("abandoned", "broker", ""),
        ("abandoned", "rebalance", ""),
        ("abandoned", "retry", ""),
    ),
)
IN_FLIGHT = Metric(
    "pipeline_in_flight_records", "gauge", "records", GROUP, "Deliveries not yet committed."
)
UNACCOUNTED = Metric(
    "pipeline_ledger_unaccounted_records",
    "gauge",
    "records",
    GROUP,
    "Consumed, less all outcomes and what is in flight: anything but 0 is a bug.",
)
LAG_RECORDS = Metric(
    "pipeline_consumer_lag_records",
    "gauge",
    "records",
    PARTITION,
    "Last stable offset minus position.",
)
LAG_SECONDS = Metric(
    "pipeline_consumer_lag_seconds",
    "gauge",
    "seconds",
    PARTITION,
    "Age of the oldest unfinished record, 0 when there is none.",
)
OPEN_TRANSACTION = Metric(
    "pipeline_open_transaction_records",
    "gauge",
    "records",
    PARTITION,
    "High watermark minus last stable offset: held back by transactions upstream that are open.",
)
COMMITTED = Metric(
    "pipeline_committed_offset", "gauge", "offset", PARTITION, "Offset that is committed."
)
HIGH_WATERMARK = Metric(
    "pipeline_high_watermark_offset",
    "gauge",
    "offset",
    PARTITION,
    "Offset behind the last record on the broker.",
)
LOW_WATERMARK = Metric(
    "pipeline_low_watermark_offset",
    "gauge",
    "offset",
    PARTITION,
    "First offset that the broker still has.",
)
WATERMARK_AGE = Metric(
    "pipeline_watermark_age_seconds",
    "gauge",
    "seconds",
    GROUP,
    "Age of the watermarks, and so of lag in records.",
)
ASSIGNED = Metric(
    "pipeline_assigned_partitions",
    "gauge",
    "partitions",
    GROUP,
    "Partitions owned by this process.",
)
WAITING = Metric(
    "pipeline_waiting_partitions",
    "gauge",
    "partitions",
    GROUP,
    "Partitions that are not read just now: a record is to be tried again later, the broker takes "
    "no more, or the breaker is open.",
)
BREAKER = Metric(
    "pipeline_breaker_open",
    "gauge",
    "",
    GROUP,
    "Whether a flood of dead letters has stopped this process.",
)
ACCESS_REFUSED = Metric(
    "pipeline_access_refused", "gauge", "", GROUP,
    "1 while brokers do not take us, or we do not take them.",
)  # fmt: skip
CERTIFICATE_EXPIRES = Metric(
    "pipeline_certificate_expiry_timestamp_seconds", "gauge", "seconds", ("certificate",),
    "When a certificate in force ends, in seconds since 1970.",
)  # fmt: skip
BREAKER_OPENINGS = Metric(
    "pipeline_breaker_openings", "counter", "openings", GROUP, "How often the breaker has opened."
)
STALLS = Metric(
    "pipeline_consumer_stalls",
    "counter",
    "stalls",
    GROUP,
    "How often the client was replaced because nothing came from a partition that has records.",
)
RECORD_AGE = Metric(
    "pipeline_record_age_seconds",
    "histogram",
    "seconds",
    ("group", "point"),
    "Age of records, by their own timestamps, when they were polled, processed and acked: where "
    "lateness enters. Acked takes a batch as evenly spread from its oldest to its newest.",
)
FUTURE = Metric(
    "pipeline_future_records",
    "counter",
    "records",
    GROUP,
    "Records from the future, whose clocks cannot be right.",
)
BATCH = Metric(
    "pipeline_batch_records", "histogram", "records", GROUP, "Records per poll that brought any."
)
TIME = Metric(
    "pipeline_time_seconds",
    "counter",
    "seconds",
    ("group", "phase"),
    "Time of the loop by phase; adds up to wall-clock time.",
)
POLL_GAP = Metric(
    "pipeline_poll_gap_max_seconds",
    "gauge",
    "seconds",
    GROUP,
    "Longest time between two polls within the last minute or two.",
)
POLL_GAP_LIMIT = Metric(
    "pipeline_poll_gap_limit_seconds",
    "gauge",
    "seconds",
    GROUP,
    "Time between two polls after which the broker expels this process.",
)
PROGRESS = Metric(
    "pipeline_last_progress_timestamp_seconds",
    "gauge",
    "seconds since 1970",
    GROUP,
    "When work became final last; 0 before.",
)
PROCESS_DURATION = Metric(
    "messaging_process_duration_seconds",
    "histogram",
    "seconds",
    ("messaging_destination_name", "messaging_consumer_group_name"),
    "Time from decoding to sending, per batch.",
)
OPERATION_DURATION = Metric(
    "messaging_client_operation_duration_seconds",
    "histogram",
    "seconds",
    OPERATION,
    "Time of a call into Kafka: polls that brought records, and commits, by error.",
)
REBALANCES = Metric(
    "pipeline_rebalance_duration_seconds",
    "histogram",
    "seconds",
    ("group", "event"),
    "Time within a change of the assignment; its count is the number of changes.",
)
DEAD_LETTERS = Metric(
    "pipeline_dead_letters_records",
    "gauge",
    "records",
    ("group", "topic"),
    "Offsets that the topic of the dead letters holds: its letters, and one marker for each "
    "transaction that wrote some.",
)
DEAD_LETTERS_AGE = Metric(
    "pipeline_dead_letters_oldest_age_seconds",
    "gauge",
    "seconds",
    ("group", "topic"),
    "Age of the oldest dead letter, 0 when there is none.",
)
LOG_LINES_WRITTEN = Metric(
    "pipeline_log_lines",
    "counter",
    "lines",
    ("level",),
    "Log lines written, by level.",
    zeros=(("debug",), ("info",), ("warning",), ("error",)),
)
LOG_SUPPRESSED = Metric(
    "pipeline_log_suppressed_lines",
    "counter",
    "lines",
    (),
    "Repeated log lines that were left out and told as a number.",
)
LOG_DROPPED = Metric(
    "pipeline_log_dropped_lines",
    "counter",
    "lines",
    (),
    "Log lines lost because standard output was blocked.",
)
SPAN_FATES = Metric(
    "pipeline_spans",
    "counter",
    "spans",
    ("fate",),
    "Spans by what became of them: exported, dropped (no Collector, or a full queue), or capped "
    "(of a record, never made, as there were too many in a second).",
    zeros=(("exported",), ("dropped",), ("capped",)),
)
LINKS_OMITTED = Metric(
    "pipeline_links_omitted",
    "counter",
    "links",
    (),
    "Links from a batch's span to its records for which there was no room.",
)
SENT = Metric(
    "messaging_client_sent_messages",
    "counter",
    "records",
    ("messaging_destination_name", "error_type"),
    "Records whose sending has ended; acknowledged where there is no error.",
    # What becomes of a record that the broker cannot take for as long as the client waits.
    zeros=(("",), ("_MSG_TIMED_OUT",)),
    teller="producer",
)


def _outside(name: str, unit: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(name, "gauge", unit, labels, meaning, teller="lag")


GROUP_LAG_RECORDS = _outside(
    *("pipeline_group_lag_records", "records", PARTITION),
    "Last stable offset minus committed offset.",
)
GROUP_LAG_SECONDS = _outside(
    *("pipeline_group_lag_seconds", "seconds", PARTITION),
    "Age of the oldest record that is not committed, 0 when there is none.",
)
GROUP_COMMITTED = _outside(
    *("pipeline_group_committed_offset", "offset", PARTITION),
    "Offset that the group has committed.",
)
GROUP_END = _outside(
    *("pipeline_group_end_offset", "offset", PARTITION),
    "Last stable offset; its rate is that of records coming in.",
)
GROUP_FIRST = _outside(
    *("pipeline_group_first_offset", "offset", PARTITION), "First offset that the broker still has."
)
GROUP_OPEN_TRANSACTION = _outside(
    *("pipeline_group_open_transaction_records", "records", PARTITION),
    "High watermark minus last stable offset: held back by transactions upstream that are open.",
)
GROUP_LOST = _outside(
    *("pipeline_group_lost_records", "records", PARTITION),
    "Records that were deleted before the group had committed them.",
)
GROUP_RETENTION = _outside(
    *("pipeline_group_retention_used_ratio", "", PARTITION),
    "How much of what the topic keeps is not committed, by time, or by size where that alone "
    "deletes; from 1 on records are deleted unread.",
)
GROUP_MEMBERS = _outside(
    "pipeline_group_members", "members", GROUP, "Members of the group, as the broker counts them."
)
GROUP_UNASSIGNED = _outside(
    *("pipeline_group_unassigned_partitions", "partitions", ("group", "topic")),
    "Partitions that no member of the group reads.",
)
GROUP_ANSWERED = _outside(
    *("pipeline_group_answered_timestamp_seconds", "seconds since 1970", GROUP),
    "When the broker last answered all of this; without a recent answer the rest is missing.",
)
WITNESS: Final = (
    GROUP_LAG_RECORDS,
    GROUP_LAG_SECONDS,
    GROUP_COMMITTED,
    GROUP_END,
    GROUP_FIRST,
    GROUP_OPEN_TRANSACTION,
    GROUP_LOST,
    GROUP_RETENTION,
    GROUP_MEMBERS,
    GROUP_UNASSIGNED,
    GROUP_ANSWERED,
)
STATS_AGE = Metric(
    "rdkafka_stats_age_seconds",
    "gauge",
    "seconds",
    CLIENT,
    "Age of the client's statistics; old ones freeze all rdkafka metrics.",
)

# They come with the client's first statistics, some seconds after the start.
CLIENT_METRICS: Final = (
    STATS_AGE,
    Metric("rdkafka_reply_queue_operations", "gauge", "operations", CLIENT,
           "Events that wait to be served by a poll."),
    Metric("rdkafka_producer_queue_records", "gauge", "records", CLIENT,
           "Records in the producer's queue."),
    Metric("rdkafka_producer_queue_limit_records", "gauge", "records", CLIENT,
           "Most records that the producer's queue holds."),
    Metric("rdkafka_producer_queue_bytes", "gauge", "bytes", CLIENT,
           "Bytes in the producer's queue."),
    Metric("rdkafka_messages_sent", "counter", "records", CLIENT, "Records sent to brokers."),
    Metric("rdkafka_message_sent_bytes", "counter", "bytes", CLIENT,
           "Bytes of records sent to brokers."),
    Metric("rdkafka_messages_received", "counter", "records", CLIENT,
           "Records received from brokers."),
    Metric("rdkafka_message_received_bytes", "counter", "bytes", CLIENT,
           "Bytes of records received from brokers."),
    Metric("rdkafka_fetch_queue_records", "gauge", "records", CLIENT,
           "Records fetched ahead and not yet handed out."),
    Metric("rdkafka_fetch_queue_bytes", "gauge", "bytes", CLIENT,
           "Bytes fetched ahead and not yet handed out."),
    Metric("rdkafka_broker_up", "gauge", "", BROKER,
           "1 while connected; missing for brokers that were never needed."),
    Metric("rdkafka_broker_rtt_p99_seconds", "gauge", "seconds", BROKER,
           "Round trip of requests; a consumer's includes waiting for records."),
    Metric("rdkafka_broker_throttle_p99_seconds", "gauge", "seconds", BROKER,
           "Time for which the broker held us back by quota."),
    Metric("rdkafka_broker_internal_queue_p99_seconds", "gauge", "seconds", BROKER,
           "Time of records in the producer's queue."),
    Metric("rdkafka_broker_inflight_requests", "gauge", "requests", BROKER,
           "Requests that wait for an answer."),
    Metric("rdkafka_broker_errors", "counter", "errors", BROKER, "Transmission errors."),
    Metric("rdkafka_broker_request_timeouts", "counter", "requests", BROKER,
           "Requests that timed out."),
    Metric("rdkafka_broker_disconnects", "counter", "connections", BROKER,
           "Connections that ended."),
)  # fmt: skip

METRICS: Final[tuple[Metric, ...]] = (
    BUILD,
    CONFIG,
    CONSUMED,
    RECORDS,
    IN_FLIGHT,
    UNACCOUNTED,
    LAG_RECORDS,
    LAG_SECONDS,
    OPEN_TRANSACTION,
    COMMITTED,
    HIGH_WATERMARK,
    LOW_WATERMARK,
    WATERMARK_AGE,
    ASSIGNED,
    WAITING,
    BREAKER,
    BREAKER_OPENINGS,
    ACCESS_REFUSED,
    CERTIFICATE_EXPIRES,
    STALLS,
    RECORD_AGE,
    FUTURE,
    BATCH,
    TIME,
    POLL_GAP,
    POLL_GAP_LIMIT,
    PROGRESS,
    PROCESS_DURATION,
    OPERATION_DURATION,
    REBALANCES,
    DEAD_LETTERS,
    DEAD_LETTERS_AGE,
    LOG_LINES_WRITTEN,
    LOG_SUPPRESSED,
    LOG_DROPPED,
    SPAN_FATES,
    LINKS_OMITTED,
    *CLIENT_METRICS,
    SENT,
    *WITNESS,
)


ATTRIBUTES: Final = {
    "messaging.system": "Always `kafka`.",
    "messaging.operation.name": "`send`, `poll` or `process`.",
    "messaging.operation.type": "`send`, `receive` or `process`.",
    "messaging.destination.name": "The topic.",
    "messaging.destination.partition.id": "The partition; of a send, once it is known.",
    "messaging.consumer.group.name": "The consumer group.",
    "messaging.batch.message_count": "Records of the batch, traced or not.",
    "messaging.kafka.offset": "Offset of the record; of a send, once it is known.",
    "messaging.kafka.message.tombstone": "True where the record has no value.",
    "error.type": "Kind of the failure: as in the dead letter, or Kafka's error code.",
    "pipeline.event.id": "Topic, partition and offset of the input: what `journey` takes.",
    "pipeline.stage": "Where it failed.",
}


class Span(NamedTuple):
    """One kind of span.

    Attributes:
        operation: What is done; the name of a span is this and the topic.
        what: What it stands for: a record or a batch.
        kind: As OpenTelemetry knows it.
        parent: What it is a child of.
        links: What it links to.
        always: Attributes that each one has.
        maybe: Attributes of some.
    """

    operation: str
    what: Literal["record", "batch"]
    kind: Literal["producer", "client", "consumer"]
    parent: str
    links: str
    always: frozenset[str]
    maybe: frozenset[str] = frozenset()


_OPERATION: Final = frozenset(
    {
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.destination.name",
    }
)
_CONSUMED: Final = _OPERATION | {
    "messaging.destination.partition.id",
    "messaging.consumer.group.name",
}
_BATCH: Final = _CONSUMED | {"messaging.batch.message_count"}

SPANS: Final = (
    Span(
        *("send", "record", "producer", "the caller's own span, if there is one", ""),
        _OPERATION,
        frozenset({"messaging.destination.partition.id", "messaging.kafka.offset", "error.type"}),
    ),
    Span("poll", "batch", "client", "", "what the traced records carry", _BATCH),
    Span("process", "batch", "consumer", "", "what the traced records carry", _BATCH),
    Span(
        *("process", "record", "consumer", "what the record carries", "the batch's `process`"),
        _CONSUMED | {"messaging.kafka.offset", "pipeline.event.id"},
        frozenset({"messaging.kafka.message.tombstone", "error.type", "pipeline.stage"}),
    ),
)


class LogLine(NamedTuple):
    """One kind of log line.

    Attributes:
        fields: What it may hold besides the common fields; anything else is left out.
        meaning: One sentence.
    """

    fields: frozenset[str]
    meaning: str


def _line(meaning: str, *fields: str) -> LogLine:
    return LogLine(frozenset(fields), meaning)


COMMON_LOG_FIELDS: Final = frozenset(
    {"service", "timestamp", "trace_id", "span_id", "suppressed", "exc_info"}
)
LOG_LINES: Final[dict[str, LogLine]] = {
    "processor_starting": _line(
        "A processor begins, with what it was told.",
        *("app", "brokers", "group", "delivery", "instance", "metrics"),
    ),
    "serving": _line("Metrics and probes can be had from now on.", "metrics"),
    "traces_not_delivered": _line(
        "The Collector takes no spans, or fewer than are made; said once.",
        *("dropped", "endpoint", "hint"),
    ),
    "traces_delivered_again": _line("The Collector takes spans again.", "dropped"),
    "telemetry_log": _line("A line of OpenTelemetry's own log.", "text"),
    "stopping": _line("The process was asked to stop."),
    "stopped": _line(
        "A clean stop has ended; the counts are of this process's life.",
        *("consumed", "processed", "filtered", "retried", "dead_lettered"),
        *("duplicate", "abandoned"),
    ),
    "progress": _line(
        "What has become of all deliveries so far; silence means that nothing has happened.",
        *("consumed", "in_flight"),
        *("processed", "filtered", "retried", "dead_lettered", "duplicate", "abandoned"),
    ),
    "partitions_assigned": _line("Partitions have been given to this process.", "partitions"),
    "partitions_revoked": _line("Partitions were committed and given up.", "partitions"),
    "partitions_lost": _line(
        "Partitions went without asking; what was open on them was undone.", "partitions"
    ),
    "partition_started": _line(
        "A partition without committed offset begins.", "partition", "start", "offset"
    ),
    "log_made_anew": _line(
        "A topic was deleted and made anew while we read it; reading starts again.", "partition"
    ),
    "records_dead_lettered": _line(
        "Records went to the dead letters, with the first of them as an example.",
        *("kind", "error", "field", "limit", "stage", "frames", "records", "first"),
    ),
    "breaker_opened": _line(
        "Most records of late would be dead letters: nothing is processed until that has changed.",
        *("records", "dead", "hint"),
    ),
    "breaker_closed": _line("A look at the next records found them healthy.", "records", "dead"),
    "partitions_stalled": _line(
        "Nothing came from partitions that have records; the client is replaced.", "partitions"
    ),
    "lookup_failed": _line("The pipeline's own lookup has raised.", "error", "frames"),
    "work_undone": _line(
        "Everything since the last commit is done again; normal in a rebalance.",
        *("cause", "records"),
    ),
    "waiting_for_broker": _line("Something does not answer; said once.", "code"),
    "broker_is_back": _line("What was waited for has answered.", "after_seconds"),
    "broker_unreachable": _line(
        "No broker answers at the start.", "brokers", "code", "reason", "hint"
    ),
    "access_refused": _line(
        "Brokers do not take us, or we do not take them; said once.", "code", "reason"
    ),
    "rotated": _line("New files of the security settings are in force from now on.", "what"),
    "rotation_waits": _line("New files do not fit together yet; the old ones stay.", "text"),
    "clients_replaced": _line(
        "All work was committed, and new clients took over with the new certificates.", "seconds"
    ),
    "access_granted": _line("What was refused is allowed again.", "after_seconds"),
    "broker_reachable": _line("A broker answers at last.", "brokers"),
    "letters_replayed": _line(
        "A run of `dlq replay` has ended; it tells who was meant, and what became of how many.",
        *("run", "letters", "to", "filters", "again", "dry_run", "mended", "outcome"),
        *("replayed", "would_replay", "skipped", "skipped_by_reason", "seconds"),
    ),
    "topic_differs": _line("A topic is not as it is declared.", "text"),
    "setting_unknown": _line("A variable that looks like a setting is none.", "text"),
    "consumer_error": _line("The consumer reports an error and goes on.", "code", "text"),
    "on_delivery_failed": _line("A callback of the user has raised.", "error"),
    "producer_failed": _line("The producer cannot go on.", "error"),
    "not_deleted": _line("Something temporary is left on the broker.", "name", "text"),
    "kafka_client_error": _line("The client reports an error to itself.", "client", "code"),
    "kafka_client_log": _line("A line of librdkafka's own log.", "client", "text"),
}
