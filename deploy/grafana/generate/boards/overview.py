"""Is the pipeline well, and where does it hurt: told within ten seconds."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Column, Empty, Query, lines, number, numbers
from deploy.grafana.generate.words import (
    BURN,
    COUNT,
    GREEN,
    ORANGE,
    RECORDS,
    RECORDS_PER_SECOND,
    RED,
    SECONDS,
    SHARE,
    ZERO_IS_GOOD,
    Step,
    falling,
    rising,
)

BY_ALERT = "max by (severity, alertname, group, topic, partition, instance)"
BURNING = (Step(None, GREEN), Step(1, ORANGE), Step(14.4, RED))
WELL = (
    number(
        "Freshness budget",
        "Of the time in 30 days in which the worst lag may exceed 5 s (1 %), what is left. "
        "Below 0 the objective is missed.",
        SHARE,
        Query("min(1 - pipeline:fresh:bad_ratio30d{<G>} / 0.01)"),
        steps=falling(0, 0.25),
        to="lanternpipe-lag",
        loud=True,
        decimals=1,
    ),
    number(
        "Handled budget",
        "Of the records in 30 days that may be dead-lettered by a fault of the pipeline itself "
        "(0.1 %), what is left. Bad input does not count.",
        SHARE,
        Query("min(1 - pipeline:handled:bad_ratio30d{<G>} / 0.001)"),
        steps=falling(0, 0.25),
        to="lanternpipe-failures",
        loud=True,
        decimals=1,
    ),
    number(
        "Worst lag",
        "Age of the oldest record that nobody has finished, over all partitions. "
        "The objective is 5 s.",
        SECONDS,
        Query("max(pipeline:lag_seconds:max{<G>})"),
        steps=rising(5, 60),
        to="lanternpipe-lag",
        loud=True,
    ),
    number(
        "Waiting records",
        "Records that wait to be processed, over all partitions.",
        RECORDS,
        Query("sum(pipeline:lag_records:sum{<G>})"),
        to="lanternpipe-lag",
    ),
    number(
        "Time to drain",
        "How long the backlog lasts at the speed at which it falls now. "
        "No value while nothing waits, or while it grows.",
        SECONDS,
        Query(
            "max(pipeline:drain_seconds{<G>})",
            empty=Empty("A pipeline that keeps up has nothing to drain.", "backlog"),
        ),
        steps=rising(300, 1800),
        to="lanternpipe-lag",
        none="not draining",
    ),
    number(
        "Unaccounted records",
        "Consumed, less every outcome and what is in flight. "
        "Anything but 0 is a bug of the pipeline.",
        COUNT,
        Query("sum(abs(pipeline_ledger_unaccounted_records{<G>}))"),
        steps=ZERO_IS_GOOD,
        to="lanternpipe-failures",
        loud=True,
    ),
    number(
        "Unread partitions",
        "Partitions that no member of the group reads, seen from outside.",
        COUNT,
        Query("sum(max by (group, topic) (pipeline_group_unassigned_partitions{<G>}))"),
        steps=ZERO_IS_GOOD,
        to="lanternpipe-lag",
        loud=True,
    ),
    number(
        "Firing alerts",
        "Alerts that fire now, but for the one that always does to prove that alerts arrive.",
        COUNT,
        Query('count(ALERTS{alertstate="firing", severity=~"page|ticket"}) or vector(0)'),
        steps=ZERO_IS_GOOD,
        loud=True,
    ),
)
HURTS = (
    lines(
        "Flow by outcome",
        "What becomes of records, counted when it is final. A record that is retried or abandoned "
        "comes again. The same colours mean the same outcome on every board.",
        RECORDS_PER_SECOND,
        Query("sum by (outcome) (rate(pipeline_records_total{<G>}<R>))", "{{outcome}}"),
        stacked="normal",
        width=12,
    ),
    lines(
        "Worst lag by group",
        "Age of the oldest unfinished record; the dashed lines are the objective of 5 s and a "
        "minute.",
        SECONDS,
        Query("max by (group) (pipeline:lag_seconds:max{<G>})", "{{group}}"),
        steps=rising(5, 60),
        width=12,
    ),
    lines(
        "Ledger: consumed against outcomes",
        "Both curves must lie upon each other: what is consumed becomes an outcome. "
        "A gap that stays is work that hangs, or a bug.",
        RECORDS_PER_SECOND,
        Query("sum(rate(messaging_client_consumed_messages_total{<C>}<R>))", "consumed"),
        Query("sum(rate(pipeline_records_total{<G>}<R>))", "outcomes"),
        width=8,
    ),
    lines(
        "Burn rate of the budgets",
        "How many times too fast a budget is used up; at 1 it lasts exactly 30 days. "
        "14.4 over an hour is a page.",
        BURN,
        Query("max(pipeline:fresh:bad_ratio1h{<G>}) / 0.01", "freshness, 1 h"),
        Query("max(pipeline:fresh:bad_ratio6h{<G>}) / 0.01", "freshness, 6 h"),
        Query("max(pipeline:handled:bad_ratio1h{<G>}) / 0.001", "handled, 1 h"),
        Query("max(pipeline:handled:bad_ratio6h{<G>}) / 0.001", "handled, 6 h"),
        steps=BURNING,
        width=8,
    ),
    lines(
        "Age when a record is final",
        "Time from a record's own timestamp to its commit: what a reader of the output feels.",
        SECONDS,
        Query(
            "histogram_quantile(0.5, sum by (le) "
            '(rate(pipeline_record_age_seconds_bucket{<G>, point="acked"}<R>)))',
            "half are younger",
        ),
        Query(
            "histogram_quantile(0.99, sum by (le) "
            '(rate(pipeline_record_age_seconds_bucket{<G>, point="acked"}<R>)))',
            "99 % are younger",
            exemplars=True,
        ),
        steps=rising(5, 60),
    ),
    numbers(
        "Alerts that fire",
        "What fires now, and for how long its condition has held. Each alert has its runbook in "
        "docs/runbooks.",
        COUNT,
        (
            Column(
                "for",
                Query(
                    f"(time() - {BY_ALERT} (ALERTS_FOR_STATE{{severity=~'page|ticket'}})) "
                    f"and {BY_ALERT} (ALERTS{{alertstate='firing', severity=~'page|ticket'}})",
                    empty=Empty("Nothing fires while all is well.", "kill"),
                ),
                SECONDS,
            ),
        ),
        rows={
            "severity": "severity",
            "alertname": "alert",
            "group": "group",
            "topic": "topic",
            "partition": "partition",
            "instance": "instance",
        },
        by="for",
        width=12,
        height=7,
    ),
    lines(
        "Members and unread partitions",
        "Members of the group as the broker counts them, processors that tell of themselves, "
        "and partitions that nobody reads.",
        COUNT,
        Query("sum(max by (group) (pipeline_group_members{<G>}))", "members"),
        Query("count(pipeline_assigned_partitions{<G>})", "processors"),
        Query(
            "sum(max by (group, topic) (pipeline_group_unassigned_partitions{<G>}))",
            "unread partitions",
        ),
        width=12,
        height=7,
    ),
)
BOARD = Board(
    "lanternpipe-overview",
    "Lanternpipe: overview",
    "Is the pipeline well, and where does it hurt?",
    (("Is it well?", WELL), ("Where does it hurt?", HURTS)),
)
