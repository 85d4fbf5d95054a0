"""Rights as code: who should be allowed what, who is, and how to get from one to the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from lanternpipe.errors import FatalFailure, KafkaFailure, RefusedFailure
from lanternpipe.kafka.admin import REQUEST_SECONDS, answer

ANY_HOST = "*"


class DeclaredAcl(NamedTuple):
    """One thing that somebody may do, or may not; we declare only what they may, from any host.

    Attributes:
        principal: Who, as ``User:processor``.
        operation: What.
        kind: With what kind of resource.
        name: With which.
        prefixed: Whether ``name`` is how the names begin.
        host: From where.
        denied: Whether they may not.
    """

    principal: str
    operation: str
    kind: str
    name: str
    prefixed: bool = False
    host: str = ANY_HOST
    denied: bool = False

    def __str__(self) -> str:
        """Return it in plain words."""
        may = "may not" if self.denied else "may"
        kind = self.kind.replace("_", " ")
        which = f"{self.name}…" if self.prefixed else self.name
        where = "" if self.host == ANY_HOST else f" from {self.host}"
        return f"{self.principal} {may} {self.operation.replace('_', ' ')} {kind} {which}{where}"


class AclDifferences(NamedTuple):
    """What differs from the declaration.

    Attributes:
        missing: Declared, and not there.
        unexpected: There for one of our principals, and not declared.
    """

    missing: list[DeclaredAcl]
    unexpected: list[DeclaredAcl]


def acl_differences(admin: AdminClient, declared: Iterable[DeclaredAcl]) -> AclDifferences:
    """Compare the rights of our principals with their declaration.

    Raises:
        RefusedFailure: We may not see them.
        KafkaFailure: The broker did not answer, or knows no rights.
    """
    _check_that_we_may_see_them(admin)
    wanted = set(declared)
    ours = {each.principal for each in wanted}
    there = {each for principal in ours for each in _of(admin, principal)}
    return AclDifferences(sorted(wanted - there), sorted(there - wanted))


def create_acls(admin: AdminClient, acls: Iterable[DeclaredAcl]) -> None:
    """Give rights.

    Raises:
        KafkaFailure: The broker did not answer, or refused.
    """
    if bindings := [_binding(each) for each in acls]:
        created = admin.create_acls(bindings, request_timeout=REQUEST_SECONDS)
        for binding, future in created.items():
            try:
                answer(future, f"giving a right to {binding.principal}")
            except KafkaFailure as failure:
                if failure.code != "SECURITY_DISABLED":
                    raise
                # Such brokers say so only now: asked what rights there are, they say "none".
                raise FatalFailure(
                    failure.code,
                    "the brokers let everybody do everything: they have no authorizer.class.name",
                ) from failure


def delete_acls(admin: AdminClient, acls: Iterable[DeclaredAcl]) -> None:
    """Take rights back.

    Raises:
        KafkaFailure: The broker did not answer, or refused.
    """
    if filters := [_filter(each) for each in acls]:
        deleted = admin.delete_acls(filters, request_timeout=REQUEST_SECONDS)
        for wanted, future in deleted.items():
            answer(future, f"taking a right from {wanted.principal}")


def _check_that_we_may_see_them(admin: AdminClient) -> None:
    # Who may not is told by the client that there are none.
    cluster = admin.describe_cluster(
        include_authorized_operations=True, request_timeout=REQUEST_SECONDS
    )
    allowed = answer(cluster, "describing the cluster").authorized_operations
    if AclOperation.DESCRIBE not in (allowed or ()):
        raise RefusedFailure(
            "CLUSTER_AUTHORIZATION_FAILED",
            "the user may not see who has which rights, which takes `describe` on the cluster: "
            "come in as an administrator",
        )


def _of(admin: AdminClient, principal: str) -> list[DeclaredAcl]:
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]  # any name; the client's types forget it
        ResourcePatternType.ANY,
        principal,
        None,  # type: ignore[arg-type]  # any host
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    future = admin.describe_acls(everything, request_timeout=REQUEST_SECONDS)
    found = answer(future, "reading rights")
    return [
        DeclaredAcl(
            each.principal,
            each.operation.name.lower(),
            each.restype.name.lower(),
            each.name,
            each.resource_pattern_type is ResourcePatternType.PREFIXED,
            each.host,
            each.permission_type is AclPermissionType.DENY,
        )
        for each in found
    ]


def _binding(acl: DeclaredAcl) -> AclBinding:
    return AclBinding(*_parts(acl))


def _filter(acl: DeclaredAcl) -> AclBindingFilter:
    return AclBindingFilter(*_parts(acl))


def _parts(acl: DeclaredAcl) -> tuple[Any, ...]:
    return (
        ResourceType[acl.kind.upper()],
        acl.name,
        ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
        acl.principal,
        acl.host,
        AclOperation[acl.operation.upper()],
        AclPermissionType.DENY if acl.denied else AclPermissionType.ALLOW,
    )
