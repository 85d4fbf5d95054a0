"""The settings of the connection to Kafka."""

from __future__ import annotations

from itertools import chain
from typing import Literal

from pydantic import Field, field_validator, model_validator

from lanternpipe.settings.section import Section
from lanternpipe.settings.security import SecuritySettings

# Keys on which the guarantees rest; changing them by EXTRA would silently break a promise.
OWNED_CLIENT_KEYS = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "log.connection.close",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "request.required.acks",
        "transaction.timeout.ms",
        "transactional.id",
    }
)


# What settings of our own say as soon as SECURITY has a mode.
SECURITY_KEYS = ("security.", "sasl.", "ssl.", "https.", "enable.ssl.", "enable.sasl.")
# What would let anybody pass for a broker, in all words that librdkafka takes for it.
BLIND = {
    "enable.ssl.certificate.verification": ("false", "f", "0"),
    "ssl.endpoint.identification.algorithm": ("none",),
    "security.protocol": ("sasl_plaintext",),
}


class KafkaSettings(Section):
    """The connection to Kafka and this processor's place in its group."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="Brokers to start from, `host:port,host:port`."
    )
    group_id: str = Field(
        "logins-processor",
        min_length=1,
        description="Consumer group of the processor; by default `<app>-processor`.",
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="Rebalance protocol: `classic` or `consumer` (KIP-848)."
    )
    static_membership: bool = Field(
        default=False,
        description="Keep partitions over a restart (`group.instance.id`); needs an instance.",
    )
    session_timeout: float = Field(
        15.0, ge=6.0, description="Seconds until a silent member loses its partitions (`classic`)."
    )
    transaction_timeout: float = Field(
        15.0, gt=1.0, description="Seconds until the broker aborts an open transaction."
    )
    max_poll_interval: float = Field(
        300.0, gt=1.0, description="Seconds between polls after which a member is expelled."
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "lz4", description="Compression of what we produce."
    )
    security: SecuritySettings = SecuritySettings()
    extra: dict[str, str] = Field(
        {}, description="Any librdkafka setting for all clients; `_` in the name becomes `.`."
    )
    consumer_extra: dict[str, str] = Field({}, description="As EXTRA, for the consumer only.")
    producer_extra: dict[str, str] = Field({}, description="As EXTRA, for producers only.")

    @field_validator("extra", "consumer_extra", "producer_extra")
    @classmethod
    def _client_keys(cls, given: dict[str, str]) -> dict[str, str]:
        keys = {name.lower().replace("_", "."): value for name, value in given.items()}
        if owned := sorted(OWNED_CLIENT_KEYS & keys.keys()):
            raise ValueError(
                f"{', '.join(owned)} cannot be set here: exactly-once rests on it, "
                "or it has a setting of its own"
            )
        return keys

    @property
    def servers(self) -> list[str]:
        """Return the brokers to start from, one by one."""
        return [each.strip() for each in self.bootstrap_servers.split(",") if each.strip()]

    @model_validator(mode="after")
    def _security(self) -> KafkaSettings:
        extras = (self.extra, self.consumer_extra, self.producer_extra)
        for key, value in chain.from_iterable(extra.items() for extra in extras):
            if value.strip().lower() in BLIND.get(key, ()) and not self.security.development:
                raise ValueError(
                    f"{key}={value} lets anybody pass for a broker, who then knows what proves who "
                    "we are; where that does not matter, say SECURITY__DEVELOPMENT=true"
                )
            if self.security.mode != "plaintext" and key.startswith(SECURITY_KEYS):
                raise ValueError(
                    f"{key} cannot be set by EXTRA beside SECURITY__MODE={self.security.mode}: "
                    "what SECURITY says goes for all clients"
                )
        return self

    @model_validator(mode="after")
    def _relations(self) -> KafkaSettings:
        if self.group_protocol == "consumer" and self.static_membership:
            raise ValueError(
                "STATIC_MEMBERSHIP cannot go with GROUP_PROTOCOL=consumer: a restarted process "
                "would be refused until the broker's session ends; switch one of them off"
            )
        if self.transaction_timeout > self.session_timeout and self.group_protocol == "classic":
            raise ValueError(
                f"TRANSACTION_TIMEOUT ({self.transaction_timeout:g} s) must not exceed "
                f"SESSION_TIMEOUT ({self.session_timeout:g} s): a new owner of a partition would "
                "wait for the transaction of the old one"
            )
        if self.max_poll_interval < self.session_timeout:
            raise ValueError(
                f"MAX_POLL_INTERVAL ({self.max_poll_interval:g} s) must be at least "
                f"SESSION_TIMEOUT ({self.session_timeout:g} s)"
            )
        return self
