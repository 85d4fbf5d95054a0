"""The drills as data: which fault is made, which alerts must come, and which may come with them."""

from __future__ import annotations

from tests.stack.drills import faults
from tests.stack.drills.plan import Drill

WATCHDOG = "Watchdog"

# What else the same fault is a reason for.
BEHIND = frozenset(
    {
        "PipelineFreshnessBurn",
        "PipelineFreshnessBurnSlow",
        "PipelineConsumerStalled",
        "PipelineNoProgress",
        "PipelineDrainTooSlow",
    }
)
LETTERS = frozenset({"PipelineHandledBurn", "PipelineHandledBurnSlow", "PipelineDeadLetterRate"})
GONE = frozenset({"PipelineAbsent", "TargetDown"}) | BEHIND

# Windows that outlast a run, also on its clock: that these end is not waited for.
LASTING = frozenset({"PipelineFreshnessBurnSlow", "PipelineHandledBurnSlow"})

OF_GROUPS: tuple[tuple[Drill, ...], ...] = (
    (
        Drill(
            "bug in the transform",
            "bugs",
            "The transform raises for one record in 20; then it no longer does.",
            lambda stage: stage.sites["bugs"].going_wrong("raise 20"),
            ("PipelineHandledBurn", "PipelineHandledBurnSlow"),
            LETTERS,
        ),
        Drill(
            "forgotten records",
            "bugs",
            "The one bug that is planted in Lanternpipe itself: the ledger loses a record of each "
            "commit; then the processor is started anew without it.",
            lambda stage: faults.with_new_life(stage.sites["bugs"], "forget"),
            ("PipelineLedgerMismatch",),
            GONE,
        ),
    ),
    (
        Drill(
            "transform hangs",
            "slow",
            "The transform takes 70 s for one record, with 120 s allowed between two polls; then "
            "the processor is started anew.",
            lambda stage: faults.with_new_life(stage.sites["slow"], "hang 70"),
            ("ClientStatisticsStale", "PipelinePollIntervalNearLimit"),
            GONE,
            seconds=120.0,
        ),
    ),
    (
        Drill(
            "flood of poison",
            "floods",
            "2,000 broken records come at once; then they are let through as dead letters "
            "(`PIPELINE_DEADLETTER__BREAKER__ACCEPT_BEFORE`), as the runbook says.",
            lambda stage: faults.poison_flood(stage.sites["floods"], 2_000),
            ("PipelineBreakerOpen",),
            GONE | LETTERS,
        ),
        Drill(
            "poison among good records",
            "floods",
            "A producer sends 30 % poison, too little for the breaker; then it stops.",
            lambda stage: faults.poisoned(stage.sites["floods"], 0.3),
            ("PipelineDeadLetterRate",),
            BEHIND,
        ),
        Drill(
            "members come and go",
            "floods",
            "A program joins the group and leaves it, again and again; then no longer.",
            lambda stage: faults.members_come_and_go(stage.sites["floods"]),
            ("PipelineRebalanceStorm",),
            GONE | {"PipelineUnassignedPartitions", "PipelineCommitFailing"},
        ),
    ),
    (
        Drill(
            "dependency down",
            "retries",
            "The transform asks for another attempt at every record, without end; then no longer.",
            lambda stage: stage.sites["retries"].going_wrong("retry"),
            ("PipelineRetryStorm", "PipelineConsumerStalled"),
            BEHIND,
        ),
        Drill(
            "old dead letter",
            "retries",
            "The topic of the dead letters is told to keep the senders' times, and a letter from a "
            "month ago comes; then it is deleted.",
            lambda stage: faults.old_letter(stage.sites["retries"]),
            ("PipelineDeadLettersOld",),
        ),
        Drill(
            "slow drain",
            "retries",
            "2,000 records that are two minutes old come at once, and the transform takes 0.3 s "
            "for each; then no time any more.",
            lambda stage: faults.draining(stage.sites["retries"], 2_000, 0.3),
            ("PipelineDrainTooSlow",),
            BEHIND,
        ),
    ),
    (
        Drill(
            "group stopped",
            "idle",
            "The group is stopped, and its input keeps records for 20 s only; then it goes on.",
            lambda stage: faults.unread(stage.sites["idle"], 20.0),
            ("PipelineRetentionRisk", "PipelineFreshnessBurn", "PipelineFreshnessBurnSlow"),
            GONE,
            seconds=120.0,
        ),
        Drill(
            "records deleted unread",
            "idle",
            "The group is stopped and records are deleted that it has not read; then its offsets "
            "are moved behind them, as the runbook says, and it goes on.",
            lambda stage: faults.lost(stage.sites["idle"]),
            ("PipelineDataLost",),
            GONE | {"PipelineRetentionRisk"},
        ),
    ),
    (
        Drill(
            "hanging transaction",
            "stuck",
            "A producer leaves a transaction open in the input; then it aborts it.",
            lambda stage: faults.open_transaction(stage.sites["stuck"]),
            ("PipelineTransactionStuck",),
            BEHIND,
        ),
        Drill(
            "stray member",
            "stuck",
            "The only member of the group reads another topic; then it leaves, and a processor "
            "comes.",
            lambda stage: faults.stray(stage.sites["stuck"]),
            ("PipelineUnassignedPartitions",),
            GONE,
        ),
        Drill(
            "processor frozen",
            "stuck",
            "The only processor is frozen (SIGSTOP); then it goes on.",
            lambda stage: faults.frozen(stage.sites["stuck"]),
            ("PipelineNoProgress",),
            GONE,
        ),
    ),
    (
        Drill(
            "input refuses records",
            "refused",
            "The input takes no record above 100 bytes (`max.message.bytes`); then as before.",
            lambda stage: faults.nothing_taken(
                stage.sites["refused"], stage.sites["refused"].deployment.input
            ),
            ("ProducerDeliveryFailing",),
        ),
        Drill(
            "output refuses records",
            "refused",
            "The output takes no record above 100 bytes (`max.message.bytes`); then as before.",
            lambda stage: faults.nothing_taken(
                stage.sites["refused"], stage.sites["refused"].deployment.output
            ),
            ("PipelineCommitFailing",),
            BEHIND | LETTERS,
        ),
        Drill(
            "right taken away",
            "refused",
            "Nobody may write to the output (an access list denies it); then again as before.",
            lambda stage: faults.denied(
                stage.sites["refused"], stage.sites["refused"].deployment.output
            ),
            ("PipelineAccessRefused",),
            # Each attempt is made with a new client, which joins the group anew.
            GONE
            | {"PipelineUnassignedPartitions", "PipelineRebalanceStorm", "PipelineCommitFailing"},
        ),
        Drill(
            "certificate about to end",
            "refused",
            "The clients' certificate is replaced by one that ends in three days; then by another "
            "that does not.",
            lambda stage: faults.certificate_ends(stage.identity),
            ("PipelineCertificateExpires", "PipelineCertificateExpiresSoon"),
            BEHIND,
        ),
    ),
    (
        Drill(
            "witness killed",
            "main",
            "The witness is killed; then it is started again.",
            lambda stage: faults.witness_killed(stage.sites["main"]),
            ("TargetDown",),
            labels={"TargetDown": {"job": "lag"}},
        ),
        Drill(
            "Collector killed",
            "main",
            "The Collector is killed; then it is started again.",
            lambda stage: faults.collector_killed(stage.collector),
            ("TelemetryDropping",),
            frozenset({"TargetDown"}),
            everywhere=True,
        ),
        Drill(
            "processors killed",
            "main",
            "All processors of a group are killed; then they are started again.",
            lambda stage: faults.processors_killed(stage.sites["main"]),
            ("PipelineAbsent",),
            GONE,
        ),
    ),
)
# Alone, as it is felt by all groups.
OF_BROKERS: tuple[tuple[Drill, ...], ...] = (
    (
        Drill(
            "broker killed",
            "stuck",
            "One of three brokers is killed, which alone has some partition; then it is started "
            "again.",
            lambda stage: faults.broker_killed(stage.sites["stuck"], 3),
            ("KafkaUnderReplicated", "KafkaOfflinePartitions"),
            # The last: for seconds, which are minutes here, the witness tells what it saw last.
            GONE
            | {"PipelineCommitFailing", "PipelineUnassignedPartitions", "PipelineRebalanceStorm"}
            | {"PipelineTransactionStuck"},
            everywhere=True,
        ),
    ),
)
PHASES = (OF_GROUPS, OF_BROKERS)
# Those without a drill, with the reason.
PROMTOOL_ONLY: dict[str, str] = {}


def drills() -> list[Drill]:
    """Return all drills, in their order."""
    return [drill for tracks in PHASES for track in tracks for drill in track]
