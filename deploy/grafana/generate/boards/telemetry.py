"""Can the other boards be believed?"""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Column, Empty, Query, lines, number, numbers
from deploy.grafana.generate.words import (
    BYTES,
    COUNT,
    ONE_IS_GOOD,
    PER_SECOND,
    SECONDS,
    SHARE,
    ZERO_IS_GOOD,
    rising,
)

NO_COLLECTOR = Empty("Nothing is refused while there is room.", "collector")

NUMBERS = (
    number("Targets down", "Of those that Prometheus should read.", COUNT,
           Query("count(up == 0) or vector(0)"), steps=ZERO_IS_GOOD, loud=True, width=4),
    number("Dropped spans", "Spans per second that were lost on the way out: no Collector, or a "
           "full queue.", PER_SECOND, Query('sum(rate(pipeline_spans_total{fate="dropped"}<R>))'),
           steps=ZERO_IS_GOOD, loud=True, width=4),
    number("Dropped log lines", "Lines per second lost because standard output was blocked.",
           PER_SECOND, Query("sum(rate(pipeline_log_dropped_lines_total<R>))"),
           steps=ZERO_IS_GOOD, loud=True, width=4),
    number("Errors logged", "Lines per second of level error.", PER_SECOND,
           Query('sum(rate(pipeline_log_lines_total{level="error"}<R>))'),
           steps=rising(0.01, 1), width=4),
    number("Most series of a target", "Of our own programs; each pays for its series all day.",
           COUNT, Query("max(scrape_samples_post_metric_relabeling and on (instance, job) "
                        "pipeline_build_info)"), steps=rising(1_500, 2_000), width=4),
    number("Series in Prometheus", "All that it holds in memory now.", COUNT,
           Query("max(prometheus_tsdb_head_series)"), width=4),
)  # fmt: skip
PROGRAMS = (
    lines("Spans by fate", "Exported to the Collector, dropped, or capped: never made, as there "
          "were too many in a second.", PER_SECOND,
          Query("sum by (fate) (rate(pipeline_spans_total<R>))", "{{fate}}"), stacked="normal"),
    lines("Links that found no room", "From a batch's span to its records.", PER_SECOND,
          Query("sum by (instance) (rate(pipeline_links_omitted_total<R>))", "{{instance}}")),
    lines("Log lines by level", "Of all our programs.", PER_SECOND,
          Query("sum by (level) (rate(pipeline_log_lines_total<R>))", "{{level}}"),
          stacked="normal", bars=True),
    lines("Log lines left out and lost", "Repeated lines are told as a number; lost ones found "
          "standard output blocked.", PER_SECOND,
          Query("sum(rate(pipeline_log_suppressed_lines_total<R>))", "suppressed"),
          Query("sum(rate(pipeline_log_dropped_lines_total<R>))", "dropped")),
    lines("Series by target", "What each scrape brings.", COUNT,
          Query("sum by (job, instance) (scrape_samples_post_metric_relabeling)",
                "{{job}} {{instance}}")),
    lines("Duration of scrapes", "Near the interval of scrapes, numbers go missing.", SECONDS,
          Query("max by (job, instance) (scrape_duration_seconds)", "{{job}} {{instance}}")),
)  # fmt: skip
COLLECTOR = (
    lines("Taken in", "Spans and log lines that the Collector's receivers have accepted.",
          PER_SECOND,
          Query("sum by (receiver) (rate(otelcol_receiver_accepted_spans_total<R>))",
                "spans by {{receiver}}"),
          Query("sum by (receiver) (rate(otelcol_receiver_accepted_log_records_total<R>))",
                "log lines by {{receiver}}")),
    lines("Sent on", "To Tempo and Loki.", PER_SECOND,
          Query("sum by (exporter) (rate(otelcol_exporter_sent_spans_total<R>))",
                "spans to {{exporter}}"),
          Query("sum by (exporter) (rate(otelcol_exporter_sent_log_records_total<R>))",
                "log lines to {{exporter}}")),
    lines("Refused", "What the Collector has refused to take: its memory is full.", PER_SECOND,
          Query("sum by (receiver) (rate(otelcol_receiver_refused_spans_total<R>))",
                "spans by {{receiver}}"),
          Query("sum by (receiver) (rate(otelcol_receiver_refused_log_records_total<R>))",
                "log lines by {{receiver}}")),
    lines("Not delivered", "What the Collector could not send, or had no room for.", PER_SECOND,
          Query("sum by (exporter) (rate(otelcol_exporter_send_failed_spans_total<R>))",
                "spans to {{exporter}}", empty=NO_COLLECTOR),
          Query("sum by (exporter) (rate(otelcol_exporter_send_failed_log_records_total<R>))",
                "log lines to {{exporter}}", empty=NO_COLLECTOR),
          Query("sum by (exporter) (rate(otelcol_exporter_enqueue_failed_spans_total<R>))",
                "spans without room for {{exporter}}", empty=NO_COLLECTOR)),
    lines("Queue", "Share of the exporters' queues that is full. It survives a restart.", SHARE,
          Query("max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
                "{{exporter}}"), steps=rising(0.5, 0.8), high=1),
    lines("Memory", "Of the Collector.", BYTES,
          Query("max by (instance) (otelcol_process_memory_rss_bytes)", "{{instance}}")),
)  # fmt: skip
PROMETHEUS = (
    numbers("Targets", "All that is scraped, and how much it brings.", COUNT,
            (
                Column("up", Query("up"), COUNT, ONE_IS_GOOD),
                Column("series", Query("scrape_samples_post_metric_relabeling"), COUNT,
                       rising(5_000, 20_000)),
                Column("scrape takes", Query("scrape_duration_seconds"), SECONDS, rising(1, 5)),
            ), rows={"job": "job", "instance": "instance"}, by="series", width=12, height=8),
    lines("Rules and exemplars", "Evaluations that failed, and exemplars that were stored.",
          PER_SECOND,
          Query("sum(rate(prometheus_rule_evaluation_failures_total<R>))", "rules that failed"),
          Query("sum(rate(prometheus_tsdb_exemplar_exemplars_appended_total<R>))", "exemplars"),
          width=12),
)  # fmt: skip
BOARD = Board(
    "lanternpipe-telemetry",
    "Lanternpipe: telemetry health",
    "Can the other boards be believed?",
    (
        ("Is anything missing?", NUMBERS),
        ("Our programs", PROGRAMS),
        ("Collector", COLLECTOR),
        ("Prometheus", PROMETHEUS),
    ),
)
