"""What is offered, what becomes of it, and what it takes: for load tests."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.boards.latency import quantile
from deploy.grafana.generate.panels import Query, lines, number
from deploy.grafana.generate.words import (
    BYTES,
    COUNT,
    RECORDS,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    ZERO_IS_GOOD,
    rising,
)

SENT = "messaging_client_sent_messages_total"
# A producer is whoever counts what it sends, whatever its job is called.
OF_PRODUCERS = f"and on (instance, job) {SENT}"
AGE = "pipeline_record_age_seconds"
APPENDED = "sum(max by (group, topic, partition) (rate(pipeline_group_end_offset{<G>}<R>)))"

NUMBERS = (
    number("Acknowledged", "Records per second that the broker has taken.", RECORDS_PER_SECOND,
           Query(f'sum(rate({SENT}{{error_type=""}}<R>))'), width=4),
    number("Not delivered", "Share of the records whose sending ended in an error.", SHARE,
           Query(f'sum(rate({SENT}{{error_type!=""}}<R>)) / (sum(rate({SENT}<R>)) > 0)'),
           steps=ZERO_IS_GOOD, width=4, loud=True),
    number("Final", "Records per second that have become an outcome for good.",
           RECORDS_PER_SECOND,
           Query('sum(rate(pipeline_records_total{<G>, outcome!~"retried|abandoned"}<R>))'),
           width=4),
    number("Left behind", "Records per second by which the backlog grows; below 0 it falls.",
           RECORDS_PER_SECOND, Query("sum(deriv(pipeline:lag_records:sum{<G>}[1m]))"),
           steps=rising(1, 100), width=4),
    number("99 % are younger than", "Age of records when they are final.", SECONDS,
           Query(quantile(0.99, AGE, "", '<G>, point="acked"')), steps=rising(5, 60), width=4),
    number("Cores in use", "CPU time per second of producers and processors.", COUNT,
           Query(f"sum(rate(process_cpu_seconds_total{{<I>}}<R>)) "
                 f"+ sum(rate(process_cpu_seconds_total<R>) {OF_PRODUCERS})"),
           width=4, decimals=2),
)  # fmt: skip
FLOW = (
    lines("From offered to final", "Put into the producer's client, acknowledged by the broker, "
          "appended to the topic, consumed and final. The first curve that stays behind is the "
          "bottleneck.", RECORDS_PER_SECOND,
          Query("sum(rate(rdkafka_messages_sent_total<R>) "
                f"{OF_PRODUCERS})", "sent"),
          Query(f'sum(rate({SENT}{{error_type=""}}<R>))', "acknowledged"),
          Query(APPENDED, "appended"),
          Query("sum(rate(messaging_client_consumed_messages_total{<C>}<R>))", "consumed"),
          Query('sum(rate(pipeline_records_total{<G>, outcome!~"retried|abandoned"}<R>))', "final"),
          width=16, height=9),
    lines("Backlog", "Records that wait, and those that wait in the producer.", RECORDS,
          Query("sum(pipeline:lag_records:sum{<G>})", "wait for the processors"),
          Query(f"sum(rdkafka_producer_queue_records {OF_PRODUCERS})", "wait in the producer"),
          height=9),
    lines("Not delivered", "Records whose sending ended in an error, by its code.",
          RECORDS_PER_SECOND,
          Query(f'sum by (error_type) (rate({SENT}{{error_type!=""}}<R>))', "{{error_type}}"),
          bars=True),
    lines("Age of records", "From their own timestamps, which the producer gives, to the commit.",
          SECONDS,
          Query(quantile(0.5, AGE, "", '<G>, point="acked"'), "half are younger"),
          Query(quantile(0.95, AGE, "", '<G>, point="acked"'), "95 % are younger"),
          Query(quantile(0.99, AGE, "", '<G>, point="acked"'), "99 % are younger",
                exemplars=True), steps=rising(5, 60)),
    lines("Round trip of the producer", "99 % of its requests are quicker.", SECONDS,
          Query(f"max by (instance, client) (rdkafka_broker_rtt_p99_seconds {OF_PRODUCERS})",
                "{{instance}} {{client}}")),
)  # fmt: skip
MACHINE = (
    lines("CPU", "Cores in use, by process.", COUNT,
          Query("sum by (instance) (rate(process_cpu_seconds_total{<I>}<R>))",
                "processor {{instance}}"),
          Query(f"sum by (instance) (rate(process_cpu_seconds_total<R>) {OF_PRODUCERS})",
                "producer {{instance}}")),
    lines("Memory", "Resident, by process.", BYTES,
          Query("sum by (instance) (process_resident_memory_bytes{<I>})",
                "processor {{instance}}"),
          Query(f"sum by (instance) (process_resident_memory_bytes {OF_PRODUCERS})",
                "producer {{instance}}")),
    lines("Open files", "File descriptors, connections included.", COUNT,
          Query("sum by (instance) (process_open_fds{<I>})", "processor {{instance}}"),
          Query(f"sum by (instance) (process_open_fds {OF_PRODUCERS})",
                "producer {{instance}}")),
)  # fmt: skip
BOARD = Board(
    "lanternpipe-load",
    "Lanternpipe: load test",
    "How much does it take, and what gives way first?",
    (("In short", NUMBERS), ("Flow", FLOW), ("Machine", MACHINE)),
)
