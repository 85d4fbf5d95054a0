"""Is Kafka well? Numbers of the brokers themselves, by the JMX exporter."""

from deploy.grafana.generate.board import Board
from deploy.grafana.generate.panels import Query, lines, number
from deploy.grafana.generate.words import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    MILLISECONDS,
    ONE_IS_GOOD,
    PER_SECOND,
    RECORDS_PER_SECOND,
    RED,
    SHARE,
    ZERO_IS_GOOD,
    Step,
    falling,
)

REPLICAS, TOPICS = "kafka_server_replicamanager", "kafka_server_brokertopicmetrics"
CONTROLLER, REQUESTS = (
    "kafka_controller_kafkacontroller",
    "kafka_network_requestmetrics_totaltimems",
)
# Without a topic it is the whole broker.
ALL_TOPICS, EACH_TOPIC = '{topic=""}', '{topic!=""}'

NUMBERS = (
    number("Brokers", "Brokers that the controller counts as active.", COUNT,
           Query(f"max({CONTROLLER}_activebrokercount)"), steps=ONE_IS_GOOD),
    number("Active controllers", "Exactly one broker must be it.", COUNT,
           Query(f"sum({CONTROLLER}_activecontrollercount)"), steps=(*ONE_IS_GOOD, Step(2, RED))),
    number("Fenced brokers", "Registered, but not (or no longer) allowed to serve.", COUNT,
           Query(f"max({CONTROLLER}_fencedbrokercount)"), steps=ZERO_IS_GOOD),
    number("Offline partitions", "Without a leader: nobody can read or write them.", COUNT,
           Query(f"max({CONTROLLER}_offlinepartitionscount)"), steps=ZERO_IS_GOOD, loud=True),
    number("Under-replicated", "Partitions with a replica that is behind or away.", COUNT,
           Query(f"sum({REPLICAS}_underreplicatedpartitions)"), steps=ZERO_IS_GOOD, loud=True),
    number("Under minimum in sync", "Partitions that take no transaction and no acks=all now.",
           COUNT, Query(f"sum({REPLICAS}_underminisrpartitioncount)"), steps=ZERO_IS_GOOD,
           loud=True),
    number("Unclean elections", "Leaders that were chosen although they lacked records: data lost.",
           COUNT, Query("sum(kafka_controller_controllerstats_uncleanleaderelections_total)"),
           steps=ZERO_IS_GOOD),
    number("Idle request handlers", "Share of the handlers' time that is free; near 0 the broker "
           "is overloaded.", SHARE,
           Query("min(kafka_server_kafkarequesthandlerpool_requesthandleravgidle_ratio)"),
           steps=falling(0.2, 0.4)),
)  # fmt: skip
FLOW = (
    lines("Records in by topic", "Transaction markers count, too.", RECORDS_PER_SECOND,
          Query(f"sum by (topic) (rate({TOPICS}_messagesin_total{EACH_TOPIC}<R>)) > 0",
                "{{topic}}"), stacked="normal"),
    lines("Bytes in by topic", "As producers have sent them.", BYTES_PER_SECOND,
          Query(f"sum by (topic) (rate({TOPICS}_bytesin_total{EACH_TOPIC}<R>)) > 0", "{{topic}}"),
          stacked="normal"),
    lines("Bytes out by topic", "To consumers; replication is not in it.", BYTES_PER_SECOND,
          Query(f"sum by (topic) (rate({TOPICS}_bytesout_total{EACH_TOPIC}<R>)) > 0", "{{topic}}"),
          stacked="normal"),
    lines("The whole broker", "All topics together.", BYTES_PER_SECOND,
          Query(f"sum(rate({TOPICS}_bytesin_total{ALL_TOPICS}<R>))", "in"),
          Query(f"sum(rate({TOPICS}_bytesout_total{ALL_TOPICS}<R>))", "out")),
    lines("Refused requests", "Requests to write or read that failed.", PER_SECOND,
          Query(f"sum(rate({TOPICS}_failedproducerequests_total{ALL_TOPICS}<R>))", "produce"),
          Query(f"sum(rate({TOPICS}_failedfetchrequests_total{ALL_TOPICS}<R>))", "fetch")),
    lines("Size of topics", "On disk, over all partitions and brokers.", BYTES,
          Query("sum by (topic) (kafka_log_log_size_bytes) > 0", "{{topic}}"), stacked="normal"),
)  # fmt: skip
TIME = (
    lines("Time of requests, half", "Of the broker's own count. FetchConsumer includes waiting for "
          "records.", MILLISECONDS,
          Query(f'max by (request) ({REQUESTS}{{quantile="0.5"}})', "{{request}}")),
    lines("Time of requests, 99 %", "One in a hundred takes longer.", MILLISECONDS,
          Query(f'max by (request) ({REQUESTS}{{quantile="0.99"}})', "{{request}}")),
    lines("Idle request handlers", "Share of their time that is free.", SHARE,
          Query("min by (instance) "
                "(kafka_server_kafkarequesthandlerpool_requesthandleravgidle_ratio)",
                "{{instance}}"), steps=falling(0.2, 0.4), high=1),
)  # fmt: skip
REPLICATION = (
    lines("Partitions and leaders", "Replicas that each broker holds, and those that it leads. "
          "Uneven leaders are uneven load.", COUNT,
          Query(f"sum by (instance) ({REPLICAS}_partitioncount)", "{{instance}} partitions"),
          Query(f"sum by (instance) ({REPLICAS}_leadercount)", "{{instance}} leads")),
    lines("Replicas in trouble", "Behind, below the minimum, or offline.", COUNT,
          Query(f"sum({REPLICAS}_underreplicatedpartitions)", "under-replicated"),
          Query(f"sum({REPLICAS}_underminisrpartitioncount)", "under minimum in sync"),
          Query(f"sum({REPLICAS}_offlinereplicacount)", "offline")),
    lines("Replicas that fall behind and catch up", "Shrinks and expansions of the in-sync sets; "
          "both again and again are a broker at its limit.", COUNT,
          Query(f"sum(increase({REPLICAS}_isrshrinks_total<R>))", "shrinks"),
          Query(f"sum(increase({REPLICAS}_isrexpands_total<R>))", "expansions"), bars=True),
    lines("Memory of the JVM", "Used, by area.", BYTES,
          Query("sum by (instance, area) (jvm_memory_used_bytes)", "{{instance}} {{area}}"),
          width=12),
    lines("Garbage collection of the JVM", "Share of the time spent in it.", SHARE,
          Query("sum by (instance) (rate(jvm_gc_collection_seconds_sum<R>))", "{{instance}}"),
          width=12),
)  # fmt: skip
BOARD = Board(
    "lanternpipe-broker",
    "Lanternpipe: broker",
    "Is Kafka well?",
    (
        ("Is it well?", NUMBERS),
        ("Flow", FLOW),
        ("Time", TIME),
        ("Replication and JVM", REPLICATION),
    ),
)
