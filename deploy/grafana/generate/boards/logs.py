"""What the programs say, and all that is known of one event."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Query, lines, log_lines, traces
from deploy.grafana.generate.words import PER_SECOND

ALL = '{service_name=~".+"}'
# The Collector makes the event's name the line itself; all else stands beside it.
CHOSEN = f'{ALL} |~ "^(?:$event)$" | severity_text=~"$level"'
DEAD = f'{ALL} |= "records_dead_lettered"'
WAITED = (
    f'{ALL} |~ "^(?:waiting_for_broker|broker_is_back|partitions_stalled|breaker_opened|'
    'breaker_closed|partitions_lost)$"'
)

RATES = (
    lines("Lines by level", "How much is said, and how badly. What repeats is told as a number, "
          "so a flood of failures is few lines.", PER_SECOND,
          Query(f"sum by (severity_text) (rate({ALL} [$__auto]))", "{{severity_text}}",
                source="loki"),
          stacked="normal", bars=True, width=12),
    lines("Lines by event", "The names are those of docs/metrics.md.", PER_SECOND,
          Query(f"topk(10, sum by (event) (rate({ALL} | pattern `<event>` [$__auto])))",
                "{{event}}", source="loki"),
          stacked="normal", bars=True, width=12),
)  # fmt: skip
LINES = (
    log_lines("Lines", "Of the chosen level and event; a line that belongs to a trace leads to it.",
              Query(CHOSEN, source="loki")),
)  # fmt: skip
FAILURES = (
    log_lines("Dead letters", "A line for each kind of failure of a batch, with the first record "
              "as an example: copy it into the variable event_id.",
              Query(DEAD, source="loki"), width=12),
    log_lines("What the pipeline waited for", "Brokers that went and came, stalls, breakers.",
              Query(WAITED, source="loki"), width=12),
)  # fmt: skip
ONE = (
    log_lines("Lines of one event", "Lines that name the event in event_id.",
              Query(f'{ALL} | first="$event_id"', source="loki"), width=12),
    traces("Traces of one event", "The spans of the event in event_id, as `journey` takes it: "
           "topic, partition and offset.",
           Query('{ span.pipeline.event.id = "$event_id" }', source="tempo"), width=12),
    traces("Traces of failed records", "Records that were processed with an error; a failed record "
           "is always traced.",
           Query('{ span.messaging.operation.type = "process" && span.error.type != nil }',
                 source="tempo"), width=12),
    traces("Slow batches", "Spans of batches that took longer than a second.",
           Query("{ span.messaging.batch.message_count > 0 && duration > 1s }", source="tempo"),
           width=12),
)  # fmt: skip
EVERYTHING = models.VariableOption(selected=True, text="All", value="$__all")
BOARD = Board(
    "lanternpipe-logs",
    "Lanternpipe: logs",
    "What do the programs say, and what is known of one event?",
    (
        ("How much is said", RATES),
        ("Lines", LINES),
        ("Failures", FAILURES),
        ("One event", ONE),
    ),
    (
        dashboard.CustomVariable("level")
        .label("Level")
        .values("debug,info,warning,error")
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(EVERYTHING),
        dashboard.TextBoxVariable("event").label("Event name").default_value(".*"),
        dashboard.TextBoxVariable("event_id").label("Event id").default_value("user-login/0/0"),
    ),
)
