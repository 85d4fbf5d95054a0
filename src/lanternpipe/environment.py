"""Settings from environment variables: ``PIPELINE_`` before the name, ``__`` between levels.

As in ``PIPELINE_KAFKA__BOOTSTRAP_SERVERS``. Nothing is read before ``load_settings`` is called.
"""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from lanternpipe.errors import ConfigError
from lanternpipe.settings import PREFIX, SECRET, Settings

APP_PREFIX = "PIPELINE_APP__"
FEW = 8  # settings that a message names one by one

AppSettings = TypeVar("AppSettings", bound=BaseModel)


class Variable(NamedTuple):
    """One setting as an operator sees it."""

    name: str
    value: Any
    default: Any
    description: str
    given: bool


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigError: A value is wrong or a variable is unknown; the message names it.
    """
    if raw := [name for name in sorted(os.environ) if _is_ours(name) and not _is_text(name)]:
        # Python lets any byte through, and the first client that encodes it would not tell whose.
        raise ConfigError("\n".join(f"{_readable(name)}: is not UTF-8" for name in raw))
    unknown = unknown_variables()
    short = {name.replace("__", "_") for name in _names(Settings, PREFIX)}
    if refused := [
        text
        for name, text in unknown.items()
        # One underscore too few; what Kubernetes sets by such a name is an address.
        if "__" in name or (name.upper() in short and "://" not in os.environ[name])
    ]:
        raise ConfigError("\n".join(refused))
    chosen = any(name.upper() == f"{PREFIX}INSTANCE" for name in os.environ)
    defaults = {"instance": socket.gethostname()} if not chosen and _in_container() else {}
    settings: Settings = _load(Settings, PREFIX, **defaults)
    return settings


def load_app_settings(model: type[AppSettings]) -> AppSettings:
    """Read the user's own settings, a pydantic model, from ``PIPELINE_APP__...``.

    Raises:
        ConfigError: A value is wrong; the message names its variable.
    """
    known = _names(model, APP_PREFIX)
    for name in sorted(os.environ):
        if name.upper().startswith(APP_PREFIX) and not any(
            name.upper() == key or name.upper().startswith(f"{key}__") for key in known
        ):
            raise ConfigError(f"{name} is not a setting: {_hint(name.upper(), known)}")
    config = SettingsConfigDict(env_prefix=APP_PREFIX, env_nested_delimiter="__", extra="ignore")
    members = {"model_config": config, "__module__": __name__}
    reader = type(model.__name__, (model, _AppReader), members)
    loaded: AppSettings = _load(reader, APP_PREFIX)
    return loaded


class _Environment(EnvSettingsSource):
    """Reads structured values as JSON; what is none goes as text to the field's own validators."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _AppReader(BaseSettings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Environment(settings_cls)


def variables(settings: BaseModel, prefix: str = PREFIX) -> Iterator[Variable]:
    """Yield every setting with its variable, its value in force and whether it was given."""
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name, None)  # a model made without validation lacks some
        variable = f"{prefix}{name}".upper()
        if isinstance(value, BaseModel):
            yield from variables(value, f"{variable}__")
            continue
        given = any(
            key.upper() == variable
            or (isinstance(value, dict) and key.upper().startswith(f"{variable}__"))
            for key in os.environ
        )
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        yield Variable(variable, value, default, info.description or "", given)


def unknown_variables() -> dict[str, str]:
    """Return the ``PIPELINE_`` variables that nothing reads, each with a sentence about it.

    One with ``__`` in its name is a mistake. Others may come from Kubernetes, which sets
    ``PIPELINE_PORT`` and the like for a service named "pipeline", so they are only told.
    """
    known = {variable.name: variable for variable in variables(Settings.model_construct())}
    unknown: dict[str, str] = {}
    for name in sorted(os.environ):
        upper = name.upper()
        if not _is_ours(name) or upper in known or upper.startswith(APP_PREFIX):
            continue
        if any(
            isinstance(variable.value, dict) and upper.startswith(f"{key}__")
            for key, variable in known.items()
        ):
            continue
        unknown[name] = f"{name} is not a setting: {_hint(upper, known)}"
    return unknown


def _names(model: type[BaseModel], prefix: str) -> list[str]:
    return [variable.name for variable in variables(model.model_construct(), prefix)]


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    if len(known) <= FEW:
        return f"there is {', '.join(known)}." if known else "this pipeline has none of its own."
    return "`lanternpipe config` lists all."


def _load(model: Any, prefix: str, **defaults: str) -> Any:
    try:
        return model(**defaults)
    except (SettingsError, RecursionError) as error:
        # A value that should be structured and is not, such as PIPELINE_KAFKA=x, or endlessly so.
        groups = {name.rpartition("__")[0] for name in _names(model, prefix)}
        wrong = [name for name in os.environ if name.upper() in groups | {*_names(model, prefix)}]
        raise ConfigError(
            f"{' or '.join(wrong) or prefix}: {error}; a group is set by its members, with two "
            "underscores before their names, as in PIPELINE_KAFKA__GROUP_ID"
        ) from error
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = [str(part) for part in problem["loc"]]
            name = (prefix + "__".join(place)).upper() if place else prefix + "…"
            text = problem["msg"].removeprefix("Value error, ")
            given = problem.get("input")
            secret = any(word in name.lower() for word in SECRET)
            told = isinstance(given, str | int | float) and not secret
            shown = f" (given: {given!r})" if told else ""
            lines.append(f"{name}: {text}{shown}")
        raise ConfigError("\n".join(lines)) from error


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)


def _is_text(name: str) -> bool:
    try:
        f"{name}={os.environ[name]}".encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ
