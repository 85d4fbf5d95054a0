"""What is in force, and where it comes from: secrets masked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr
from rich.console import Console

from lanternpipe.environment import Variable
from lanternpipe.ops.config import MASK, as_json, as_markdown, as_table, in_force
from lanternpipe.settings import KafkaSettings, Settings
from logins.transform import Settings as Ours


class Database(BaseModel):
    """A part of a pipeline's own settings."""

    password: str = "s3cret"
    host: str = "db"


class Theirs(BaseModel):
    """Settings of a pipeline's own, with secrets."""

    api_token: str = "s3cret"
    database: Database = Database()


class Careful(BaseModel):
    """Settings whose author knows that they are secret."""

    key: SecretStr = SecretStr("s3cret")


class Demanding(BaseModel):
    """Settings without default."""

    region: str = Field(description="Where.")


DERIVED = {"PIPELINE_TOPICS__INPUT": "user-login"}


def found(kafka: KafkaSettings | None = None, app: BaseModel | None = None) -> dict[str, Variable]:
    """Return all settings by name."""
    settings = Settings(kafka=kafka or KafkaSettings())
    return {each.name: each for each in in_force(settings, app or Ours(), DERIVED)}


def shown(app: BaseModel) -> str:
    """Return all that is shown of a pipeline's own settings, in any form."""
    variables = list(found(app=app).values())
    console = Console(width=300)
    with console.capture() as capture:
        console.print(*as_table(variables, {}))
    return capture.get() + json.dumps(as_json(variables))


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.pem",
        pytest.param("sasl.oauthbearer.assertion.private.key.passphrase"),
    ],
)
@pytest.mark.parametrize("section", ["extra", "consumer_extra", "producer_extra"])
def test_secrets_of_the_client_are_masked(section: str, key: str) -> None:
    """Among raw client settings those that are secret are not shown; others are."""
    kafka = KafkaSettings(**{section: {key: "s3cret", "client.id": "me"}})
    shown = found(kafka)[f"PIPELINE_KAFKA__{section.upper()}"].value
    assert shown == {key: MASK, "client.id": "me"}


def test_secrets_of_the_pipeline_are_masked() -> None:
    """A setting of the pipeline's own whose name says so is masked, too."""
    assert found(app=Theirs())["PIPELINE_APP__API_TOKEN"].value == MASK


def test_secrets_within_sections_of_the_pipeline_are_masked() -> None:
    """A section within the pipeline's own settings is listed setting by setting, and masked."""
    assert found(app=Theirs())["PIPELINE_APP__DATABASE__HOST"].value == "db"
    assert "s3cret" not in shown(Theirs())


def test_values_of_any_type_can_be_shown() -> None:
    """A setting of any type, such as a secret, is shown in every form, and not in clear."""
    text = shown(Careful())
    assert "PIPELINE_APP__KEY" in text
    assert "s3cret" not in text


def test_the_table_tells_all_and_what_is_unknown() -> None:
    """People see each variable with its value and source, then what nothing reads."""
    variables = list(found().values())
    console = Console(width=300)
    with console.capture() as capture:
        console.print(*as_table(variables, {"X": "X is not a setting"}))
    text = capture.get()
    assert all(each.name in text for each in variables)
    assert "X is not a setting" in text.splitlines()[-1]


def test_the_reference_has_every_variable_once() -> None:
    """The generated reference lists each variable with default and meaning under its section."""
    text = as_markdown(Settings(), Ours())
    for each in found().values():
        name = f"`{each.name}__…`" if isinstance(each.default, dict) else f"`{each.name}`"
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert row.endswith(f"{each.description} |")
    assert "| `PIPELINE_APP__MINIMUM_VERSION` | `2.0.0` |" in text
    assert text.index("## Kafka") < text.index("## Settings of the pipeline's own package")


def test_the_reference_tells_defaults_not_what_is_in_force() -> None:
    """What happens to be set where it is generated does not get into the reference."""
    changed: dict[str, Any] = {"kafka": KafkaSettings(group_id="mine"), "delivery": "at-least-once"}
    assert as_markdown(Settings(**changed), Ours()) == as_markdown(Settings(), Ours())


def test_the_reference_of_a_setting_without_default() -> None:
    """A setting that must be given has no default in the reference."""
    text = as_markdown(Settings(), Demanding(region="here"))
    assert "| `PIPELINE_APP__REGION` |  | Where. |" in text


def test_what_the_pipeline_declares_is_shown_where_nothing_is_set() -> None:
    """A setting that is not given shows what stands in its place."""
    assert found()["PIPELINE_TOPICS__INPUT"].value == "user-login"
    assert found()["PIPELINE_TOPICS__OUTPUT"].value is None
