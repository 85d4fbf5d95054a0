"""Where the time goes, and what a record costs."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.boards.latency import quantile
from deploy.grafana.generate.panels import Query, lines, number
from deploy.grafana.generate.words import (
    BYTES,
    COUNT,
    MICROSECONDS,
    RECORDS,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    rising,
)

CONSUMED = "scalar(sum(rate(messaging_client_consumed_messages_total{<C>}<R>)) > 0)"
TIME = "pipeline_time_seconds_total"
CPU = "process_cpu_seconds_total{<I>}"

NUMBERS = (
    number(
        "Records per second",
        "Records that the chosen processors consume.",
        RECORDS_PER_SECOND,
        Query("sum(rate(messaging_client_consumed_messages_total{<C>}<R>))"),
        width=6,
    ),
    number(
        "CPU time per record",
        "All CPU time of the processes, shared out over the records. "
        "It falls as the load rises, since what is fixed is shared by more.",
        MICROSECONDS,
        Query(f"1e6 * sum(rate({CPU}<R>)) / {CONSUMED}"),
        width=6,
    ),
    number(
        "Busy",
        "Share of the loops' time that is not spent waiting for records. "
        "Near 100 % a processor can do no more: add one.",
        SHARE,
        Query(f'1 - sum(rate({TIME}{{<G>, phase="poll"}}<R>)) / sum(rate({TIME}{{<G>}}<R>))'),
        steps=rising(0.7, 0.9),
        width=6,
    ),
    number(
        "Poll gap of its limit",
        "The longest time between two polls, of the time after which the broker expels the "
        "process.",
        SHARE,
        Query("max(pipeline_poll_gap_max_seconds{<G>} / pipeline_poll_gap_limit_seconds{<G>})"),
        steps=rising(0.5, 0.8),
        width=6,
    ),
)
BUDGET = (
    lines(
        "Share of each second by phase",
        "The loop's phases add up to wall-clock time. Poll is waiting for records: room to grow. "
        "Backpressure is waiting for the broker to take ours.",
        SHARE,
        Query(
            f"sum by (phase) (rate({TIME}{{<G>}}<R>)) / scalar(sum(rate({TIME}{{<G>}}<R>)))",
            "{{phase}}",
        ),
        stacked="normal",
        high=1,
        width=12,
    ),
    lines(
        "Time per record by phase",
        "The same without poll, shared out over the records: what to make cheaper first.",
        MICROSECONDS,
        Query(
            f'1e6 * sum by (phase) (rate({TIME}{{<G>, phase!="poll"}}<R>)) / {CONSUMED}',
            "{{phase}}",
        ),
        stacked="normal",
        width=12,
    ),
)
PROCESS = (
    lines(
        "CPU time per record",
        "CPU time of all processes over the records of all.",
        MICROSECONDS,
        Query(f"1e6 * sum(rate({CPU}<R>)) / {CONSUMED}", "CPU"),
    ),
    lines(
        "CPU by instance",
        "Cores in use. A processor's loop runs on one; the client's threads add to it.",
        COUNT,
        Query(f"sum by (instance) (rate({CPU}<R>))", "{{instance}}"),
    ),
    lines(
        "Memory by instance",
        "Resident memory.",
        BYTES,
        Query("sum by (instance) (process_resident_memory_bytes{<I>})", "{{instance}}"),
    ),
    lines(
        "Records by instance",
        "Who does how much of the work.",
        RECORDS_PER_SECOND,
        Query(
            "sum by (instance) (rate(messaging_client_consumed_messages_total{<C>}<R>))",
            "{{instance}}",
        ),
        stacked="normal",
    ),
    lines(
        "Batch size",
        "Records of a poll that brought any. Small batches cost more per record.",
        RECORDS,
        Query(quantile(0.5, "pipeline_batch_records", "", "<G>"), "half are smaller"),
        Query(quantile(0.99, "pipeline_batch_records", "", "<G>"), "99 % are smaller"),
    ),
    lines(
        "Garbage collections",
        "Runs of Python's collector by generation; many full ones (2) are a leak, or a cycle per "
        "record.",
        COUNT,
        Query(
            "sum by (generation) (rate(python_gc_collections_total{<I>}<R>))",
            "generation {{generation}}",
        ),
    ),
    lines(
        "Poll gap against its limit",
        "The longest time between two polls. Beyond the limit the broker takes the partitions "
        "away, and the work is done again.",
        SECONDS,
        Query("max by (instance) (pipeline_poll_gap_max_seconds{<G>})", "{{instance}}"),
        Query("min(pipeline_poll_gap_limit_seconds{<G>})", "limit"),
    ),
    lines(
        "Waiting partitions",
        "Partitions that are not read just now: a record is tried again later, the broker takes "
        "no more, or the breaker is open.",
        COUNT,
        Query("sum by (instance) (pipeline_waiting_partitions{<G>})", "{{instance}}"),
    ),
    lines(
        "Records in flight",
        "Handed out by the client and not yet committed.",
        RECORDS,
        Query("sum by (instance) (pipeline_in_flight_records{<G>})", "{{instance}}"),
    ),
)
BOARD = Board(
    "lanternpipe-cost",
    "Lanternpipe: time budget and cost per record",
    "Where does the time go, and what does a record cost?",
    (("What it costs", NUMBERS), ("Time budget", BUDGET), ("Processes", PROCESS)),
)
