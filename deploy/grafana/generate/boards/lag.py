"""Who is behind, how far, why, and what is at stake."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Column, Query, lines, number, numbers, states
from deploy.grafana.generate.words import (
    COUNT,
    GREEN,
    ONE_IS_GOOD,
    ORANGE,
    RECORDS,
    RECORDS_PER_SECOND,
    RED,
    SECONDS,
    SHARE,
    YELLOW,
    ZERO_IS_GOOD,
    Step,
    rising,
)

BY = "max by (group, topic, partition)"
LATE = (Step(None, GREEN), Step(1, YELLOW), Step(5, ORANGE), Step(60, RED))
MANY = (Step(None, GREEN), Step(1_000, YELLOW), Step(10_000, ORANGE), Step(100_000, RED))
FULL = rising(0.5, 0.8)

NUMBERS = (
    number(
        "Worst lag",
        "Age of the oldest unfinished record over all partitions.",
        SECONDS,
        Query("max(pipeline:lag_seconds:max{<G>})"),
        steps=LATE,
        loud=True,
    ),
    number(
        "Waiting records",
        "Records that wait, over all partitions.",
        RECORDS,
        Query("sum(pipeline:lag_records:sum{<G>})"),
    ),
    number(
        "Standing partitions",
        "Partitions with waiting records whose committed offset has not moved for two minutes.",
        COUNT,
        Query(
            "count(max by (group, topic, partition) (pipeline_group_lag_records{<G>}) > 0 "
            "unless max by (group, topic, partition) "
            "(changes(pipeline_group_committed_offset{<G>}[2m])) > 0) or vector(0)"
        ),
        steps=ZERO_IS_GOOD,
        loud=True,
    ),
    number(
        "Unread partitions",
        "Partitions that no member of the group reads.",
        COUNT,
        Query("sum(max by (group, topic) (pipeline_group_unassigned_partitions{<G>}))"),
        steps=ZERO_IS_GOOD,
        loud=True,
    ),
    number(
        "Members",
        "Members of the group, as the broker counts them.",
        COUNT,
        Query("sum(max by (group) (pipeline_group_members{<G>}))"),
        steps=ONE_IS_GOOD,
    ),
    number(
        "Retention used",
        "Of what the topic keeps, how much is unread on the worst partition. "
        "From 100 % on, records are deleted before anybody has read them.",
        SHARE,
        Query("max(pipeline_group_retention_used_ratio{<G>})"),
        steps=FULL,
        loud=True,
    ),
    number(
        "Lost records",
        "Records that were deleted before the group had committed them.",
        COUNT,
        Query("sum(max by (group, topic, partition) (pipeline_group_lost_records{<G>}))"),
        steps=ZERO_IS_GOOD,
        loud=True,
    ),
    number(
        "Witness's answer",
        "Time since the broker has last answered the outside witness: older than a minute, and "
        "what is seen from outside is not true any more.",
        SECONDS,
        Query("time() - min(pipeline_group_answered_timestamp_seconds{<G>})"),
        steps=rising(30, 60),
    ),
)
PARTITIONS = (
    numbers(
        "Lag by partition",
        "Inside is what the processors say of themselves (last stable offset minus position), "
        "outside what the witness sees (minus the committed offset). One partition that is behind "
        "is a hot key or a stuck record; all of them are too little capacity.",
        RECORDS,
        (
            Column(
                "records, inside",
                Query(f"{BY} (pipeline_consumer_lag_records{{<G>}})"),
                RECORDS,
                MANY,
            ),
            Column(
                "records, outside",
                Query(f"{BY} (pipeline_group_lag_records{{<G>}})"),
                RECORDS,
                MANY,
            ),
            Column(
                "age, inside",
                Query(f"{BY} (pipeline_consumer_lag_seconds{{<G>}})"),
                SECONDS,
                LATE,
            ),
            Column(
                "age, outside",
                Query(f"{BY} (pipeline_group_lag_seconds{{<G>}})"),
                SECONDS,
                LATE,
            ),
            Column(
                "appended",
                Query(f"{BY} (rate(pipeline_group_end_offset{{<G>}}<R>))"),
                RECORDS_PER_SECOND,
            ),
            Column(
                "committed",
                Query(f"{BY} (rate(pipeline_group_committed_offset{{<G>}}<R>))"),
                RECORDS_PER_SECOND,
            ),
            Column(
                "retention used",
                Query(f"{BY} (pipeline_group_retention_used_ratio{{<G>}})"),
                SHARE,
                FULL,
            ),
        ),
        rows={"group": "group", "topic": "topic", "partition": "partition"},
        by="records, outside",
        width=16,
        height=9,
    ),
    states(
        "Lag by partition over time",
        "Age of the oldest record that is not committed: one row a partition. A red row is one "
        "partition in trouble, a red column all of them.",
        SECONDS,
        Query(
            f"{BY} (pipeline_group_lag_seconds{{<G>}}) "
            f"or {BY} (pipeline_consumer_lag_seconds{{<G>}})",
            "{{topic}}/{{partition}}",
        ),
        steps=LATE,
        width=8,
    ),
)
FLOW = (
    lines(
        "Waiting records: inside against outside",
        "The outside witness counts until the commit, so it is a little above the inside. "
        "Far apart: commits fail, or processors that count do not run.",
        RECORDS,
        Query(f"sum({BY} (pipeline_consumer_lag_records{{<G>}}))", "inside"),
        Query(f"sum({BY} (pipeline_group_lag_records{{<G>}}))", "outside"),
    ),
    lines(
        "Worst lag: inside against outside",
        "Age of the oldest record that is not finished (inside), not committed (outside).",
        SECONDS,
        Query("max(pipeline_consumer_lag_seconds{<G>})", "inside"),
        Query("max(pipeline_group_lag_seconds{<G>})", "outside"),
        steps=rising(5, 60),
    ),
    lines(
        "Appended, consumed, committed",
        "Lag grows while more is appended than committed. Offsets count transaction markers, too, "
        "so these are a little above the records.",
        RECORDS_PER_SECOND,
        Query(f"sum({BY} (rate(pipeline_group_end_offset{{<G>}}<R>)))", "appended"),
        Query("sum(rate(messaging_client_consumed_messages_total{<C>}<R>))", "consumed"),
        Query(f"sum({BY} (rate(pipeline_group_committed_offset{{<G>}}<R>)))", "committed"),
    ),
)
GROUP = (
    lines(
        "Partitions by instance",
        "Who reads how many. A dip to 0 is a rebalance, an uneven share a slow member's burden.",
        COUNT,
        Query("sum by (instance) (pipeline_assigned_partitions{<G>})", "{{instance}}"),
        stacked="normal",
    ),
    lines(
        "Members and unread partitions",
        "As the broker tells them.",
        COUNT,
        Query("max by (group) (pipeline_group_members{<G>})", "members of {{group}}"),
        Query(
            "max by (group, topic) (pipeline_group_unassigned_partitions{<G>})",
            "unread of {{topic}}",
        ),
    ),
    lines(
        "Rebalances",
        "Changes of the assignment in each interval. Lost partitions are those of a member that "
        "was expelled: its work is done again.",
        COUNT,
        Query(
            "sum by (event) (increase(pipeline_rebalance_duration_seconds_count{<G>}<R>))",
            "{{event}}",
        ),
        bars=True,
        stacked="normal",
    ),
)
STAKE = (
    lines(
        "Retention used by topic",
        "The worst partition of each topic. At 100 % records are deleted unread.",
        SHARE,
        Query(
            "max by (group, topic) (pipeline_group_retention_used_ratio{<G>})",
            "{{topic}} of {{group}}",
        ),
        steps=FULL,
    ),
    lines(
        "Hidden by open transactions",
        "Records behind a transaction upstream that is open; nobody can read them before it ends. "
        "What stays for minutes is a transaction that hangs.",
        RECORDS,
        Query(f"sum({BY} (pipeline_open_transaction_records{{<G>}}))", "inside"),
        Query(f"sum({BY} (pipeline_group_open_transaction_records{{<G>}}))", "outside"),
    ),
    lines(
        "Age of what is known",
        "How old the numbers behind lag are: the processors' watermarks, and the witness's last "
        "answer of the broker.",
        SECONDS,
        Query("max(pipeline_watermark_age_seconds{<G>})", "inside"),
        Query("time() - min(pipeline_group_answered_timestamp_seconds{<G>})", "outside"),
        steps=rising(30, 60),
    ),
)
BOARD = Board(
    "lanternpipe-lag",
    "Lanternpipe: consumer lag",
    "Who is behind, how far, why, and what is at stake?",
    (
        ("How far behind", NUMBERS),
        ("Where", PARTITIONS),
        ("Why", (*FLOW, *GROUP)),
        ("What is at stake, and how well it is known", STAKE),
    ),
)
