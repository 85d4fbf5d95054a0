"""Settings from the environment: a wrong one is named, with what would be right."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, SecretStr

from lanternpipe.environment import load_app_settings, load_settings, unknown_variables, variables
from lanternpipe.errors import ConfigError
from lanternpipe.pipeline import NoSettings
from lanternpipe.settings import OWNED_CLIENT_KEYS, Settings
from logins.events import Version
from logins.transform import Settings as LoginSettings


class Shop(BaseModel):
    """Settings of some pipeline's own."""

    limit: int = Field(5, ge=1, description="Most of it.")
    name: str = "corner"


class Guarded(BaseModel):
    """Settings with a secret that must be long."""

    api_token: SecretStr = Field(SecretStr("x" * 20), min_length=20)


def given(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Set variables; each name stands without ``PIPELINE_``."""
    for name, value in environment.items():
        monkeypatch.setenv(f"PIPELINE_{name}", value)


def refusal(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> str:
    """Return the message by which an environment is refused."""
    given(monkeypatch, environment)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value)


def test_defaults_need_no_environment() -> None:
    """Without any variable, settings for a broker on this machine are in force."""
    assert load_settings() == Settings(instance=None)


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("DELIVERY", "twice", "'exactly-once' or 'at-least-once'"),
        ("INSTANCE", "a b", "^[A-Za-z0-9._-]+$"),
        ("START", "2026-01-01", "a time needs its zone, as in 2026-01-31T08:00:00Z"),
        ("BATCH_RECORDS", "0", "greater than or equal to 1"),
        ("BATCH_RECORDS", "many", "valid integer"),
        ("SHUTDOWN_GRACE", "0", "greater than 0"),
        ("KAFKA__BOOTSTRAP_SERVERS", "", "at least 1 character"),
        ("KAFKA__GROUP_ID", "", "at least 1 character"),
        ("KAFKA__GROUP_PROTOCOL", "eager", "'classic' or 'consumer'"),
        ("KAFKA__STATIC_MEMBERSHIP", "maybe", "valid boolean"),
        ("KAFKA__SESSION_TIMEOUT", "5", "greater than or equal to 6"),
        ("KAFKA__SESSION_TIMEOUT", "long", "valid number"),
        ("KAFKA__TRANSACTION_TIMEOUT", "1", "greater than 1"),
        ("KAFKA__MAX_POLL_INTERVAL", "1", "greater than 1"),
        ("KAFKA__COMPRESSION", "rar", "'zstd'"),
        ("TOPICS__PARTITIONS", "0", "greater than or equal to 1"),
        ("TOPICS__REPLICATION_FACTOR", "0", "greater than or equal to 1"),
        ("COMMIT__SHORTEST", "0", "greater than 0"),
        ("COMMIT__SHORTEST", "nan", "finite"),
        ("COMMIT__LONGEST", "-1", "greater than 0"),
        ("DEADLETTER__DETAIL", "all", "'safe' or 'full'"),
        ("HTTP__PORT", "99999", "less than or equal to 65535"),
        ("HTTP__PORT", "-1", "greater than or equal to 0"),
        ("LOG__LEVEL", "loud", "'warning' or 'error'"),
        ("LOG__FORMAT", "xml", "'json' or 'console'"),
    ],
)
def test_a_wrong_value_names_its_variable_and_what_is_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, right: str
) -> None:
    """Each wrong value is refused by one line with its variable, what is right, and itself."""
    message = refusal(monkeypatch, {name: value})
    assert message.startswith(f"PIPELINE_{name}: ")
    assert right in message
    assert f"(given: {value!r})" in message
    assert "\n" not in message


def test_a_start_that_is_no_time_says_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is neither a word nor a time is answered with what it may be."""
    message = refusal(monkeypatch, {"START": "yesterday"})
    assert message.startswith("PIPELINE_START: ")
    assert "earliest" in message
    assert "latest" in message


@pytest.mark.parametrize(
    ("environment", "both"),
    [
        ({"KAFKA__TRANSACTION_TIMEOUT": "20"}, ["TRANSACTION_TIMEOUT (20 s)", "SESSION_TIMEOUT"]),
        ({"KAFKA__MAX_POLL_INTERVAL": "10"}, ["MAX_POLL_INTERVAL (10 s)", "SESSION_TIMEOUT"]),
        ({"COMMIT__SHORTEST": "2"}, ["SHORTEST (2 s)", "LONGEST (1 s)"]),
        ({"COMMIT__LONGEST": "6"}, ["COMMIT__LONGEST (6 s)", "KAFKA__TRANSACTION_TIMEOUT (15 s)"]),
        ({"KAFKA__STATIC_MEMBERSHIP": "true"}, ["KAFKA__STATIC_MEMBERSHIP", "INSTANCE"]),
        (
            {"KAFKA__STATIC_MEMBERSHIP": "1", "INSTANCE": "a", "KAFKA__GROUP_PROTOCOL": "consumer"},
            ["STATIC_MEMBERSHIP", "GROUP_PROTOCOL=consumer"],
        ),
        (
            {"KAFKA__CONSUMER_EXTRA__ISOLATION_LEVEL": "read_uncommitted"},
            ["ISOLATION_LEVEL=read_uncommitted", "DELIVERY=exactly-once"],
        ),
        (
            {"KAFKA__EXTRA__ISOLATION_LEVEL": "read_uncommitted"},
            ["ISOLATION_LEVEL=read_uncommitted", "DELIVERY=exactly-once"],
        ),
        pytest.param(
            {"KAFKA__CONSUMER_EXTRA__ISOLATION_LEVEL": "READ_UNCOMMITTED"},
            ["ISOLATION_LEVEL", "DELIVERY=exactly-once"],
        ),
    ],
)
def test_settings_that_do_not_go_together_are_both_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], both: list[str]
) -> None:
    """Values that are right alone and wrong together are refused, naming both."""
    message = refusal(monkeypatch, environment)
    for part in both:
        assert part in message


def test_transaction_timeout_is_free_under_the_new_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the broker decides about sessions, ours does not limit transactions."""
    given(
        monkeypatch,
        {"KAFKA__GROUP_PROTOCOL": "consumer", "KAFKA__TRANSACTION_TIMEOUT": "60"},
    )
    assert load_settings().kafka.transaction_timeout == 60


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several wrong values are told in one go, one line each."""
    message = refusal(monkeypatch, {"DELIVERY": "twice", "HTTP__PORT": "x"})
    assert [line.partition(":")[0] for line in message.splitlines()] == [
        "PIPELINE_DELIVERY",
        "PIPELINE_HTTP__PORT",
    ]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("KAFKA__BOOTSTRAP", "PIPELINE_KAFKA__BOOTSTRAP_SERVERS"),
        ("KAFKA__GROUPID", "PIPELINE_KAFKA__GROUP_ID"),
        ("HTTP__PROT", "PIPELINE_HTTP__PORT"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    """A variable that looks like ours and is none is refused, with the one that was meant."""
    message = refusal(monkeypatch, {name: "x"})
    assert message == f"PIPELINE_{name} is not a setting: did you mean {near}?"


def test_variables_of_kubernetes_are_told_and_tolerated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kubernetes sets for a service named "pipeline" does not stop the program."""
    given(monkeypatch, {"PORT": "tcp://10.0.0.1:80", "HTTP_PORT": "tcp://10.0.0.1:80"})
    assert load_settings().http.port == 0
    told = unknown_variables()
    assert list(told) == ["PIPELINE_HTTP_PORT", "PIPELINE_PORT"]
    assert told["PIPELINE_HTTP_PORT"].endswith("did you mean PIPELINE_HTTP__PORT?")


def test_one_underscore_too_few_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The likeliest slip of all does not make a program talk to the wrong broker."""
    message = refusal(monkeypatch, {"KAFKA_BOOTSTRAP_SERVERS": "prod:9092"})
    assert message.endswith("did you mean PIPELINE_KAFKA__BOOTSTRAP_SERVERS?")


@pytest.mark.parametrize("name", ["KAFKA", "KAFKA__EXTRA", "HTTP"])
def test_a_section_that_is_no_json_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A value for a whole section, which would have to be JSON, names its variable."""
    assert f"PIPELINE_{name}" in refusal(monkeypatch, {name: "{x"})


@pytest.mark.parametrize("section", ["EXTRA", "CONSUMER_EXTRA", "PRODUCER_EXTRA"])
def test_raw_client_settings_pass_through(monkeypatch: pytest.MonkeyPatch, section: str) -> None:
    """Any setting of librdkafka can be given, with ``_`` for ``.``."""
    given(monkeypatch, {f"KAFKA__{section}__FETCH_WAIT_MAX_MS": "7"})
    assert getattr(load_settings().kafka, section.lower()) == {"fetch.wait.max.ms": "7"}


@pytest.mark.parametrize("section", ["EXTRA", "CONSUMER_EXTRA", "PRODUCER_EXTRA"])
@pytest.mark.parametrize("key", sorted(OWNED_CLIENT_KEYS))
def test_keys_that_carry_a_promise_cannot_be_overridden(
    monkeypatch: pytest.MonkeyPatch, section: str, key: str
) -> None:
    """A raw setting that would silently break a promise is refused by its name."""
    message = refusal(monkeypatch, {f"KAFKA__{section}__{key.upper().replace('.', '_')}": "x"})
    assert message.startswith(f"PIPELINE_KAFKA__{section}: {key} cannot be set here")


@pytest.mark.parametrize(("value", "instance"), [("", None), ("web-1", "web-1")])
def test_an_empty_instance_means_none(
    monkeypatch: pytest.MonkeyPatch, value: str, instance: str | None
) -> None:
    """An empty name means that this process has none, even in a container."""
    given(monkeypatch, {"INSTANCE": value})
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert load_settings().instance == instance


def test_in_containers_the_host_name_is_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, whose host name is its own, that is the default."""
    monkeypatch.delenv("PIPELINE_INSTANCE")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert load_settings().instance == socket.gethostname()


@pytest.mark.skipif(Path("/.dockerenv").exists(), reason="this is a container")
def test_elsewhere_there_is_no_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of several processes the host name would be shared, so there is no default."""
    monkeypatch.delenv("PIPELINE_INSTANCE")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert load_settings().instance is None


def test_every_variable_says_what_it_is_and_whether_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each setting is listed once with a description, and knows where its value comes from."""
    given(monkeypatch, {"HTTP__PORT": "9464", "KAFKA__EXTRA__CLIENT_ID": "me"})
    found = list(variables(load_settings()))
    assert len({each.name for each in found}) == len(found) > 20
    assert all(each.description.endswith((".", ". ")) for each in found)
    assert {each.name for each in found if each.given} == {
        "PIPELINE_HTTP__PORT",
        "PIPELINE_KAFKA__EXTRA",
        "PIPELINE_INSTANCE",
    }


def test_settings_of_the_pipelines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline's own settings are read from ``PIPELINE_APP__...``, and named when wrong."""
    given(monkeypatch, {"APP__LIMIT": "7"})
    assert load_settings().app == "logins"
    loaded = load_app_settings(Shop)
    assert (loaded.limit, loaded.name) == (7, "corner")
    given(monkeypatch, {"APP__LIMIT": "0"})
    with pytest.raises(ConfigError, match=r"^PIPELINE_APP__LIMIT: .*greater.* \(given: '0'\)$"):
        load_app_settings(Shop)


def test_the_version_of_the_sample_is_read_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A setting whose type is no plain one gets the text of its variable, or refuses it."""
    given(monkeypatch, {"APP__MINIMUM_VERSION": "2.10.0"})
    assert load_app_settings(LoginSettings).minimum_version == Version("2.10.0")
    given(monkeypatch, {"APP__MINIMUM_VERSION": "beta"})
    with pytest.raises(ConfigError, match=r"^PIPELINE_APP__MINIMUM_VERSION: must be N\.N\.N"):
        load_app_settings(LoginSettings)


def test_each_pipeline_has_a_group_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer group is named after the pipeline, unless it is set."""
    assert load_settings().kafka.group_id == "logins-processor"
    given(monkeypatch, {"APP": "orders.declared:pipeline"})
    assert load_settings().kafka.group_id == "orders-processor"
    given(monkeypatch, {"APP": "orders", "KAFKA__GROUP_ID": "mine"})
    assert load_settings().kafka.group_id == "mine"


def test_a_pipeline_may_have_no_settings() -> None:
    """A pipeline that declares no settings of its own can be run."""
    assert load_app_settings(NoSettings).model_dump() == {}


def test_an_unknown_variable_of_the_pipeline_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable of the pipeline's own settings is refused as any other."""
    given(monkeypatch, {"APP__LIMITT": "7"})
    with pytest.raises(ConfigError, match="PIPELINE_APP__LIMITT"):
        load_app_settings(Shop)


def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message about a wrong secret names its variable and keeps the secret."""
    given(monkeypatch, {"APP__API_TOKEN": "s3cret"})
    with pytest.raises(ConfigError) as caught:
        load_app_settings(Guarded)
    assert str(caught.value).startswith("PIPELINE_APP__API_TOKEN: ")
    assert "s3cret" not in str(caught.value)
