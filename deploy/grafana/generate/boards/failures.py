"""What fails, why, and what became of it."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Empty, Query, lines, number
from deploy.grafana.generate.words import (
    COUNT,
    RECORDS,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    ZERO_IS_GOOD,
    rising,
)

DEAD = 'pipeline_records_total{<G>, outcome="dead_lettered"}'
FINAL = 'pipeline_records_total{<G>, outcome!~"retried|abandoned"}'

NUMBERS = (
    number(
        "Dead letters: bad input",
        "Records per second that cannot be processed as they are. "
        "`lanternpipe dlq stats` tells the kinds.",
        RECORDS_PER_SECOND,
        Query('sum(rate(pipeline_records_total{<G>, outcome="dead_lettered", cause="input"}<R>))'),
        steps=rising(0.1, 10),
        width=4,
    ),
    number(
        "Dead letters: our bugs",
        "Records per second that a bug of the pipeline has sent there. They count against the "
        "objective.",
        RECORDS_PER_SECOND,
        Query(
            'sum(rate(pipeline_records_total{<G>, outcome="dead_lettered", cause="pipeline"}<R>))'
        ),
        steps=ZERO_IS_GOOD,
        width=4,
        loud=True,
    ),
    number(
        "Retries",
        "Attempts per second that ended in another attempt.",
        RECORDS_PER_SECOND,
        Query('sum(rate(pipeline_records_total{<G>, outcome="retried"}<R>))'),
        steps=rising(0.1, 10),
        width=4,
    ),
    number(
        "Open breakers",
        "Processors that a flood of dead letters has stopped. They look again every 30 s.",
        COUNT,
        Query("sum(pipeline_breaker_open{<G>})"),
        steps=ZERO_IS_GOOD,
        width=4,
        loud=True,
    ),
    number(
        "Stalls",
        "How often in the last hour a client was replaced because it brought nothing although "
        "there was something.",
        COUNT,
        Query("sum(increase(pipeline_consumer_stalls_total{<G>}[1h]))"),
        steps=ZERO_IS_GOOD,
        width=4,
    ),
    number(
        "Oldest dead letter",
        "Age of the oldest letter that is kept; someone should look before retention removes it.",
        SECONDS,
        Query("max(pipeline_dead_letters_oldest_age_seconds{<G>})"),
        steps=rising(86_400, 259_200),
        width=4,
    ),
)
LETTERS = (
    lines(
        "Dead letters by reason",
        "What was wrong with them.",
        RECORDS_PER_SECOND,
        Query(
            f"sum by (reason) (rate({DEAD}<R>)) > 0",
            "{{reason}}",
            empty=Empty("Good input makes no dead letters.", "poison"),
        ),
        stacked="normal",
        bars=True,
    ),
    lines(
        "Dead letters by cause",
        "Of the input's fault, or of the pipeline's own.",
        RECORDS_PER_SECOND,
        Query(f"sum by (cause) (rate({DEAD}<R>))", "{{cause}}"),
        stacked="normal",
        bars=True,
    ),
    lines(
        "Share of records that are dead-lettered",
        "Of all final outcomes. The breaker opens when most records of late would be.",
        SHARE,
        Query(
            f"sum by (group) (rate({DEAD}<R>)) / (sum by (group) (rate({FINAL}<R>)) > 0)",
            "{{group}}",
        ),
        steps=rising(0.01, 0.5),
        high=1,
    ),
    lines(
        "Dead letters kept",
        "Offsets that the topic holds: letters, and a marker for each transaction that wrote some.",
        RECORDS,
        Query("max by (group, topic) (pipeline_dead_letters_records{<G>})", "{{topic}}"),
    ),
    lines(
        "Oldest dead letter",
        "Its age grows until letters are replayed and removed, or retention removes them.",
        SECONDS,
        Query("max by (group, topic) (pipeline_dead_letters_oldest_age_seconds{<G>})", "{{topic}}"),
        steps=rising(86_400, 259_200),
    ),
    lines(
        "Waiting to be replayed",
        "Letters that `dlq replay` has sent back and that are not processed yet.",
        RECORDS,
        Query(
            'sum by (group, topic) (pipeline_group_lag_records{<G>, topic=~".+[.]replay"})',
            "{{topic}}",
        ),
    ),
)
REPEATED = (
    lines(
        "Retried, abandoned, duplicate",
        "Deliveries that come again, or came twice. Some with each rebalance are normal.",
        RECORDS_PER_SECOND,
        Query(
            "sum by (outcome) (rate(pipeline_records_total{<G>, "
            'outcome=~"retried|abandoned|duplicate"}<R>))',
            "{{outcome}}",
        ),
    ),
    lines(
        "Retries by reason",
        "Why records are tried again.",
        RECORDS_PER_SECOND,
        Query(
            'sum by (reason) (rate(pipeline_records_total{<G>, outcome="retried"}<R>)) > 0',
            "{{reason}}",
            empty=Empty("Nothing is retried while all that is asked answers.", "lookup"),
        ),
        stacked="normal",
        bars=True,
    ),
    lines(
        "Abandoned by cause",
        "Work that was undone and is done again: the broker failed, partitions went, or a record "
        "waits for its next attempt.",
        RECORDS_PER_SECOND,
        Query(
            'sum by (cause) (rate(pipeline_records_total{<G>, outcome="abandoned"}<R>))',
            "{{cause}}",
        ),
        stacked="normal",
        bars=True,
    ),
)
STOPS = (
    lines(
        "Breaker",
        "1 while a processor is stopped by a flood of dead letters.",
        COUNT,
        Query("max by (instance) (pipeline_breaker_open{<G>})", "{{instance}}"),
    ),
    lines(
        "Openings of the breaker and stalls",
        "In each interval.",
        COUNT,
        Query("sum(increase(pipeline_breaker_openings_total{<G>}<R>))", "breaker openings"),
        Query("sum(increase(pipeline_consumer_stalls_total{<G>}<R>))", "stalls"),
        bars=True,
    ),
    lines(
        "Since work became final last",
        "Time since a processor's last commit of work. It grows with nothing to do, too.",
        SECONDS,
        Query(
            "time() - max by (instance) (pipeline_last_progress_timestamp_seconds{<G>} > 0)",
            "{{instance}}",
        ),
    ),
)
BOARD = Board(
    "lanternpipe-failures",
    "Lanternpipe: failures",
    "What fails, why, and what becomes of it?",
    (
        ("What fails", NUMBERS),
        ("Dead letters", LETTERS),
        ("Work that is done again", REPEATED),
        ("Stops", STOPS),
    ),
)
