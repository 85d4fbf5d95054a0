"""Who needs which rights."""

from __future__ import annotations

import pytest

from lanternpipe.access import ROLES, declared_acls, principals
from lanternpipe.errors import ConfigError
from lanternpipe.kafka.acls import DeclaredAcl
from lanternpipe.settings import RetrySettings, Settings
from logins.pipeline import pipeline

SETTINGS = Settings(instance="")


def rights(role: str, settings: Settings = SETTINGS) -> set[tuple[str, str, str]]:
    """Return what a role may do: operation, kind, name."""
    found = declared_acls(settings, pipeline, principals([]))
    return {each[1:4] for each in found if each.principal == f"User:{role}"}


def test_a_producer_may_write_its_topic_and_nothing_else() -> None:
    """To describe a topic comes with it, and idempotence needs no right of its own."""
    assert rights("producer") == {("write", "topic", "user-login")}


def test_a_processor_may_not_write_what_it_reads() -> None:
    """Its input and its replays are not for it to write; its output is not for it to read."""
    found = rights("processor")
    assert {name for operation, kind, name in found if (operation, kind) == ("write", "topic")} == {
        "processed-user-login",
        "user-login.dlq",
    }
    assert ("read", "topic", "processed-user-login") not in found
    assert ("write", "transactional_id", "logins-processor-") in found


def test_at_least_once_needs_no_transactional_id() -> None:
    """Who opens no transactions may open none."""
    found = rights("processor", SETTINGS.model_copy(update={"delivery": "at-least-once"}))
    assert not [each for each in found if each[1] == "transactional_id"]


def test_retry_topics_are_read_and_written_by_the_processor() -> None:
    """Each tier is."""
    retry = RetrySettings(mode="topics", tiers=("5s", "1m"))
    found = rights("processor", SETTINGS.model_copy(update={"retry": retry}))
    for tier in ("5s", "1m"):
        for operation in ("read", "write"):
            assert (operation, "topic", f"user-login.retry.{tier}") in found


def test_an_observer_changes_nothing() -> None:
    """It reads and describes."""
    assert {operation for operation, *_ in rights("observer")} == {
        "read",
        "describe",
        "describe_configs",
    }


def test_nobody_may_do_anything_to_the_cluster() -> None:
    """Topics and users are made by somebody else."""
    found = declared_acls(SETTINGS, pipeline, principals([]))
    assert {each.kind for each in found} == {"topic", "group", "transactional_id"}
    assert {each.principal for each in found} == {f"User:{role}" for role in ROLES}


def test_other_principals() -> None:
    """A role can be anybody's."""
    assert principals(["processor=User:CN=alice"])["processor"] == "User:CN=alice"


@pytest.mark.parametrize(
    "given", ["alice", "processor=alice", "boss=User:a", "processor=User:", "processor=User:*"]
)
def test_a_malformed_principal_is_refused(given: str) -> None:
    """The message shows it, and what would be right."""
    with pytest.raises(ConfigError, match=r"--principal .*must be one of producer"):
        principals([given])


def test_two_roles_of_one_user_are_refused() -> None:
    """Its rights would be those of both."""
    with pytest.raises(ConfigError, match="a user of its own"):
        principals(["producer=User:processor"])


def test_plain_words() -> None:
    """A right reads like a sentence."""
    acl = DeclaredAcl("User:a", "write", "transactional_id", "logins-", prefixed=True)
    assert str(acl) == "User:a may write transactional id logins-…"
