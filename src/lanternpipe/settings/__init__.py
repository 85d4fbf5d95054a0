"""All settings, by section; each owns its defaults, its checks and its documentation.

Nothing is read here: ``lanternpipe.environment`` does that.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    SettingsConfigDict,
)

from lanternpipe.settings.failures import DeadLetterSettings, LookupSettings, RetrySettings
from lanternpipe.settings.http import HttpSettings
from lanternpipe.settings.kafka import OWNED_CLIENT_KEYS, KafkaSettings
from lanternpipe.settings.section import Section, moment
from lanternpipe.settings.security import SecuritySettings

__all__ = [
    "OWNED_CLIENT_KEYS",
    "PREFIX",
    "SECRET",
    "SIGNALS",
    "SPANS_PER_SECOND",
    "CommitSettings",
    "DeadLetterSettings",
    "HttpSettings",
    "KafkaSettings",
    "LogSettings",
    "LookupSettings",
    "RetrySettings",
    "Section",
    "SecuritySettings",
    "Settings",
    "TelemetrySettings",
    "TopicSettings",
]

PREFIX = "PIPELINE_"
# What is in the name of a setting whose value must not be shown.
SECRET = ("password", "passphrase", "secret", "token", "credential", "key.pem")

SIGNALS = ("metrics", "logs", "traces")

# A span costs twenty times the work on a record: as many as this cost a hundredth of a core.
SPANS_PER_SECOND = 100


class TopicSettings(Section):
    """Names and layout of topics; by default as the pipeline declares them."""

    input: str | None = Field(None, description="Name of the input topic.")
    output: str | None = Field(None, description="Name of the output topic.")
    partitions: int | None = Field(None, ge=1, description="Partitions of every topic created.")
    replication_factor: int | None = Field(
        None, ge=1, description="Replicas of every topic created; by default the broker's own."
    )


class CommitSettings(Section):
    """How often results are committed: seldom while behind, often where readers wait for it."""

    shortest: float = Field(
        0.05,
        gt=0,
        description="Seconds between commits when caught up, exactly once: most of the latency.",
    )
    longest: float = Field(
        1.0,
        gt=0,
        description="Seconds between commits while behind; at least once, where readers need not "
        "wait for them, always.",
    )

    @model_validator(mode="after")
    def _relations(self) -> CommitSettings:
        if self.shortest > self.longest:
            raise ValueError(
                f"SHORTEST ({self.shortest:g} s) must not exceed LONGEST ({self.longest:g} s)"
            )
        return self


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto` is `console` on a terminal and `json` elsewhere."
    )


class TelemetrySettings(Section):
    """What is told to the outside, besides errors and health."""

    signals: str = Field(
        "metrics,logs,traces",
        description="Any of `metrics`, `logs`, `traces`, with commas between them; empty leaves "
        "errors and health.",
    )
    spans_per_second: int = Field(
        SPANS_PER_SECOND,
        ge=0,
        description="Most records that get a span in a second; others are counted.",
    )

    @field_validator("signals")
    @classmethod
    def _signals(cls, given: str) -> str:
        names = [name.strip() for name in given.split(",") if name.strip()]
        if unknown := [name for name in names if name not in SIGNALS]:
            raise ValueError(f"{', '.join(unknown)} is none of {', '.join(SIGNALS)}")
        return ",".join(names)

    def __contains__(self, signal: str) -> bool:
        return signal in self.signals.split(",")


class Settings(BaseSettings):
    """Everything that can be set from outside."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    app: str = Field(
        "logins", description="The pipeline to run: a package with `pipeline`, or `module:name`."
    )
    delivery: Literal["exactly-once", "at-least-once"] = Field(
        "exactly-once", description="What a crash may do: nothing, or repeat records."
    )
    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=200)] | None = Field(
        None,
        description="Name of this process among its replicas, stable over restarts: ends the "
        "transaction of a crashed predecessor at once. By default none, in containers the host "
        "name; empty means none.",
    )
    start: str = Field(
        "earliest",
        description="Where a partition without committed offset starts, also one that is added "
        "later: `earliest`, `latest` or a time such as `2026-01-31T08:00:00Z`.",
    )
    batch_records: int = Field(
        500, ge=1, le=10_000, description="Most records handed to one pass over a batch."
    )
    shutdown_grace: float = Field(
        10.0, gt=0, description="Seconds for a clean stop before the process ends itself."
    )
    stall_after: float = Field(
        20.0,
        ge=5.0,
        description="Seconds in which a record, or a partition that has records, may stand still "
        "before it counts as stuck.",
    )
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    commit: CommitSettings = CommitSettings()
    retry: RetrySettings = RetrySettings()
    lookup: LookupSettings = LookupSettings()
    deadletter: DeadLetterSettings = DeadLetterSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @model_validator(mode="before")
    @classmethod
    def _group(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Two pipelines in one group would take each other's partitions away."""
        kafka, app = given.get("kafka", {}), given.get("app")
        if isinstance(kafka, dict) and isinstance(app, str):
            package = re.split(r"[.:]", app)[0]
            given = {**given, "kafka": {"group_id": f"{package}-processor", **kafka}}
        return given

    @field_validator("instance", mode="before")
    @classmethod
    def _instance(cls, given: str | None) -> str | None:
        return given or None

    @field_validator("start")
    @classmethod
    def _start(cls, given: str) -> str:
        if given in {"earliest", "latest"}:
            return given
        return moment(given, "earliest, latest or ")

    @model_validator(mode="after")
    def _relations(self) -> Settings:
        if self.commit.longest * 3 > self.kafka.transaction_timeout:
            raise ValueError(
                f"COMMIT__LONGEST ({self.commit.longest:g} s) must be at most a third of "
                f"KAFKA__TRANSACTION_TIMEOUT ({self.kafka.transaction_timeout:g} s)"
            )
        if self.kafka.static_membership and self.instance is None:
            raise ValueError("KAFKA__STATIC_MEMBERSHIP needs INSTANCE, the name that stays")
        extra = {**self.kafka.extra, **self.kafka.consumer_extra}
        isolation = extra.get("isolation.level", "").lower()
        if self.delivery == "exactly-once" and isolation == "read_uncommitted":
            raise ValueError(
                "KAFKA__CONSUMER_EXTRA__ISOLATION_LEVEL=read_uncommitted cannot go with "
                "DELIVERY=exactly-once: records of aborted transactions would be processed"
            )
        return self
