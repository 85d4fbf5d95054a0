"""A broker that lets in whom it knows, by every way there is; and files to get in with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from lanternpipe.certificates import Authority, Pair
from lanternpipe.testing.kafka_cluster import QUICK_START, KafkaCluster
from tests.brokers import cluster_or_skip
from tests.security.issuer import AUDIENCE, Issuer

USERS = ("producer", "processor", "replayer", "observer")
HOST = "127.0.0.1"
# Listeners, and what is spoken there.
DOORS = {
    "TLS": "SSL",
    "MTLS": "SSL",
    "SASL": "SASL_SSL",
    "BARE": "SASL_PLAINTEXT",  # a password over an open line
    "EXPIRED": "SSL",
    "ELSEWHERE": "SSL",  # with a certificate for another host
}
# How long a login is good for: a changed password is noticed on connections that stay up.
LOGIN_SECONDS = 4
MODULES = "org.apache.kafka.common.security"
DAYS = 2


@dataclass
class Files:
    """Certificates in a folder, and their authority."""

    folder: Path
    authority: Authority

    @property
    def ca(self) -> Path:
        """The authority that everybody here trusts."""
        return self.folder / "ca.crt"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return where a name's certificate and key are."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def issue(
        self, name: str, *hosts: str, by: Authority | None = None, ago: float = 0.0
    ) -> tuple[Path, Path]:
        """Write a certificate and its key; ``ago`` tells how many days ago it was made."""
        when = datetime.now(UTC) - timedelta(days=ago)
        found = (by or self.authority).issue(name, hosts, now=when, days=DAYS)
        certificate, key = self.pair(name)
        found.write(certificate, key)
        return certificate, key

    def keystore(self, name: str, *hosts: str, ago: float = 0.0) -> Path:
        """Write a broker's certificate and key into one file."""
        certificate, key = self.issue(name, *hosts, ago=ago)
        file = self.folder / f"{name}.pem"
        file.write_bytes(Pair(certificate.read_bytes(), key.read_bytes()).keystore)
        return file


@dataclass
class SecuredBroker:
    """A running broker, and how one gets in.

    Attributes:
        cluster: The broker; its own address is for administrators, without any login.
        files: Certificates.
        issuer: Issues tokens.
        admin: May do everything.
    """

    cluster: KafkaCluster
    files: Files
    issuer: Issuer
    admin: AdminClient

    def password(self, user: str) -> str:
        """Return the password that a user has at first."""
        return f"{user}-secret-1"

    def set_password(self, user: str, password: str) -> None:
        """Give a user a new password."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            change = UserScramCredentialUpsertion(user, info, password.encode())
            for future in self.admin.alter_user_scram_credentials([change]).values():
                future.result(10)

    def grant(self, user: str, operation: str, kind: str, name: str, **more: Any) -> None:
        """Let a user do something with what bears a name, or with all by ``*``.

        Or not, by ``permission``; or from one ``host`` alone.
        """
        wanted = _binding(user, operation, kind, name, **more)
        for future in self.admin.create_acls([wanted]).values():
            future.result(10)

    def revoke(self, user: str, operation: str, kind: str, name: str) -> None:
        """Take it back."""
        wanted = _filter(user, operation, kind, name)
        for future in self.admin.delete_acls([wanted]).values():
            assert future.result(10), "there was nothing to take back"

    def settings(self, mode: str, user: str = "processor", **more: str) -> dict[str, str]:
        """Return the settings, without ``PIPELINE_``, of a program that comes in as a user."""
        certificate, key = self.files.pair(user)
        own = {
            "tls": {},
            "mtls": {"CERT_FILE": str(certificate), "KEY_FILE": str(key)},
            "scram": {"USERNAME": user, "PASSWORD": self.password(user)},
            "plain": {"USERNAME": user, "PASSWORD": self.password(user)},
            "oauthbearer": {
                "USERNAME": user,
                "PASSWORD": self.issuer.secret,
                "TOKEN_URL": f"{self.issuer.url}/token",
                "DEVELOPMENT": "true",  # the tests' issuer speaks HTTP
            },
        }[mode]
        door = {"tls": "TLS", "mtls": "MTLS"}.get(mode, "SASL")
        given = {"MODE": mode, "CA_FILE": str(self.files.ca), **own, **more}
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.cluster.door(door),
            **{f"KAFKA__SECURITY__{name}": value for name, value in given.items() if value},
        }


@contextmanager
def secured_broker(folder: Path, issuer: Issuer) -> Iterator[SecuredBroker]:
    """Run the broker within the block."""
    authority = Authority.make("tests", now=datetime.now(UTC), days=DAYS)
    files = Files(folder, authority)
    files.ca.write_bytes(authority.pair.certificate)
    for user in USERS:
        files.issue(user)
    keystores = {
        **dict.fromkeys(("TLS", "MTLS", "SASL"), files.keystore("kafka", HOST, "localhost")),
        "EXPIRED": files.keystore("expired", HOST, ago=2 * DAYS),
        "ELSEWHERE": files.keystore("elsewhere", "kafka.example.org"),
    }
    flags = (
        *QUICK_START,
        f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={issuer.url}/jwks",
    )
    with cluster_or_skip(
        doors=DOORS, properties=properties(files, keystores, issuer), jvm_flags=flags
    ) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        broker = SecuredBroker(cluster, files, issuer, admin)
        for user in USERS:
            broker.set_password(user, broker.password(user))
        yield broker


def properties(files: Files, keystores: dict[str, Path], issuer: Issuer) -> dict[str, str]:
    """Return the settings of the broker."""
    found = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Who comes in without a login, as the tests' own administrator and the broker itself.
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.mtls.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
    }
    for door, keystore in keystores.items():
        prefix = f"listener.name.{door.lower()}.ssl."
        found |= {
            f"{prefix}keystore.type": "PEM",
            f"{prefix}keystore.location": str(keystore),
            f"{prefix}truststore.type": "PEM",
            f"{prefix}truststore.location": str(files.ca),
        }
    users = " ".join(f'user_{user}="{user}-secret-1"' for user in USERS)
    for door in ("sasl", "bare"):
        prefix = f"listener.name.{door}."
        found |= {
            f"{prefix}sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
            f"{prefix}connections.max.reauth.ms": str(LOGIN_SECONDS * 1_000),
            f"{prefix}scram-sha-512.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule "
            "required;",
            f"{prefix}plain.sasl.jaas.config": f"{MODULES}.plain.PlainLoginModule "
            f"required {users};",
        }
        prefix += "oauthbearer.sasl."
        found |= {
            f"{prefix}jaas.config": f"{MODULES}.oauthbearer.OAuthBearerLoginModule required;",
            f"{prefix}server.callback.handler.class": f"{MODULES}.oauthbearer."
            "OAuthBearerValidatorCallbackHandler",
            f"{prefix}oauthbearer.jwks.endpoint.url": f"{issuer.url}/jwks",
            f"{prefix}oauthbearer.expected.audience": AUDIENCE,
            f"{prefix}oauthbearer.expected.issuer": issuer.url,
        }
    return found


def _binding(
    user: str, operation: str, kind: str, name: str, *, host: str = "*", permission: str = "ALLOW"
) -> AclBinding:
    return AclBinding(
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        host,
        AclOperation[operation],
        AclPermissionType[permission],
    )


def _filter(user: str, operation: str, kind: str, name: str) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )
