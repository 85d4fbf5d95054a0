"""How old records are at each point of their way, and where lateness enters."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Empty, Panel, Query, heat, lines, number
from deploy.grafana.generate.words import (
    COUNT,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    falling,
    rising,
)

AGE = "pipeline_record_age_seconds"
POINTS = {
    "polled": "when the client hands them out: what they waited for on the broker",
    "processed": "when they have been processed and sent",
    "acked": "when they are final: what a reader of the output feels",
}
OBJECTIVE = rising(5, 60)


def quantile(share: float, metric: str, by: str, filters: str) -> str:
    """Return a quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share:g}, sum by ({labels}) (rate({metric}_bucket{{{filters}}}<R>)))"
    )


def _heat(point: str, meaning: str) -> Panel:
    return heat(
        f"Age when {point}",
        f"Age of records, by their own timestamps, {meaning}. A dot is a record with a trace: "
        "click it.",
        SECONDS,
        Query(
            f'sum by (le) (increase({AGE}_bucket{{<G>, point="{point}"}}<R>))',
            "{{le}}",
            exemplars=True,
        ),
    )


def _by_point(title: str, share: float) -> Panel:
    return lines(
        title,
        f"Below this age are {share:.0%} of the records at each point; a step between two curves "
        "is where lateness enters.",
        SECONDS,
        Query(quantile(share, AGE, "point", "<G>"), "{{point}}", exemplars=True),
        steps=OBJECTIVE,
    )


def _mean(point: str) -> str:
    filters = f'{{<G>, point="{point}"}}<R>'
    return f"sum(rate({AGE}_sum{filters})) / (sum(rate({AGE}_count{filters})) > 0)"


def _duration(operation: str, share: float) -> str:
    metric = "messaging_client_operation_duration_seconds"
    return quantile(share, metric, "", f'<I>, messaging_operation_name="{operation}"')


NUMBERS = (
    number(
        "Half are younger than",
        "Median age of records when they are final.",
        SECONDS,
        Query(quantile(0.5, AGE, "", '<G>, point="acked"')),
        steps=OBJECTIVE,
        width=6,
    ),
    number(
        "99 % are younger than",
        "The age that one record in a hundred exceeds when it is final.",
        SECONDS,
        Query(quantile(0.99, AGE, "", '<G>, point="acked"')),
        steps=OBJECTIVE,
        width=6,
    ),
    number(
        "Final within 5 s",
        "Share of records that were final within 5 s of their own timestamp.",
        SHARE,
        Query(
            f'sum(rate({AGE}_bucket{{<G>, point="acked", le="5.0"}}<R>)) '
            f'/ (sum(rate({AGE}_count{{<G>, point="acked"}}<R>)) > 0)'
        ),
        steps=falling(0.9, 0.99),
        width=6,
    ),
    number(
        "Records from the future",
        "Records with a timestamp ahead of our clock: a sender's clock is wrong, or ours.",
        RECORDS_PER_SECOND,
        Query("sum(rate(pipeline_future_records_total{<G>}<R>))"),
        steps=rising(0.01, 1),
        width=6,
    ),
)
ENTERS = (
    lines(
        "Where lateness enters",
        "The mean age, by the part of the way on which it arose. Means add up, quantiles do not.",
        SECONDS,
        Query(_mean("polled"), "until polled"),
        Query(f"({_mean('processed')}) - ({_mean('polled')})", "processing"),
        Query(f"({_mean('acked')}) - ({_mean('processed')})", "until committed"),
        stacked="normal",
        width=24,
        low=None,
    ),
    _by_point("Half are younger, by point", 0.5),
    _by_point("95 % are younger, by point", 0.95),
    _by_point("99 % are younger, by point", 0.99),
)
OWN = (
    heat(
        "Processing a batch",
        "Time from decoding to sending, per batch.",
        SECONDS,
        Query(
            "sum by (le) (increase(messaging_process_duration_seconds_bucket{<C>}<R>))",
            "{{le}}",
            exemplars=True,
        ),
    ),
    lines(
        "Duration of batches and commits",
        "One in a hundred takes longer.",
        SECONDS,
        Query(quantile(0.99, "messaging_process_duration_seconds", "", "<C>"), "process, 99 %"),
        Query(_duration("poll", 0.99), "poll, 99 %"),
        Query(_duration("commit", 0.99), "commit, 99 %"),
        Query(_duration("commit", 0.5), "commit, half"),
    ),
    lines(
        "Calls into Kafka that failed",
        "Polls and commits that ended in an error, by its code.",
        COUNT,
        Query(
            "sum by (messaging_operation_name, error_type) (increase("
            'messaging_client_operation_duration_seconds_count{<I>, error_type!=""}<R>))',
            "{{messaging_operation_name}} {{error_type}}",
            empty=Empty("No call fails while broker and group keep a member.", "freeze"),
        ),
        bars=True,
        stacked="normal",
    ),
)
BOARD = Board(
    "lanternpipe-latency",
    "Lanternpipe: latency",
    "How old are records, and where does lateness enter?",
    (
        ("How late", NUMBERS),
        ("Where lateness enters", ENTERS),
        ("Ages by point", tuple(_heat(*each) for each in POINTS.items())),
        ("Our own part", OWN),
    ),
)
