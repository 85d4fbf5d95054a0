"""The settings of the port of metrics and probes."""

from __future__ import annotations

import io
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from lanternpipe.certificates import Authority
from lanternpipe.environment import load_settings
from lanternpipe.errors import ConfigError
from lanternpipe.ops.config import as_json, as_table, in_force
from lanternpipe.settings import HttpSettings, Settings

PLANTED = "hunter-two-of-us"  # pragma: allowlist secret
USER = {"USERNAME": "us", "PASSWORD": PLANTED}


def load(monkeypatch: pytest.MonkeyPatch, folder: Path, **http: str) -> Settings:
    """Load settings in which ``@name`` stands for a file."""
    now = datetime.now(UTC)
    authority = Authority.make("tests", now=now, days=1)
    for name in ("us", "others"):
        authority.issue(name, now=now, days=1).write(folder / f"{name}.crt", folder / f"{name}.key")
    (folder / "secret").write_text(f"{PLANTED}\n")
    for name, value in http.items():
        given = str(folder / value[1:]) if value.startswith("@") else value
        monkeypatch.setenv(f"PIPELINE_HTTP__{name}", given)
    return load_settings()


WRONG: list[tuple[dict[str, str], str]] = [
    ({"CERT_FILE": "@us.crt"}, "CERT_FILE and KEY_FILE go together"),
    ({"KEY_FILE": "@us.key"}, "CERT_FILE and KEY_FILE go together"),
    ({"CERT_FILE": "@us.crt", "KEY_FILE": "@others.key"}, "the key is not that"),
    ({"CERT_FILE": "@us.crt", "KEY_FILE": "@missing"}, "KEY_FILE: cannot read"),
    ({"USERNAME": "us"}, "USERNAME needs PASSWORD or PASSWORD_FILE"),
    ({"PASSWORD": PLANTED}, "need USERNAME"),
    ({**USER, "PASSWORD_FILE": "@secret"}, "not both"),
    ({**USER, "USERNAME": "u:s"}, "must have no colon"),
    ({"USERNAME": "us", "PASSWORD_FILE": "@missing"}, "PASSWORD_FILE: cannot read"),
    ({**USER, "HOST": "0.0.0.0"}, "over an open line"),
    ({**USER, "HOST": "::"}, "over an open line"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_contradictions_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], said: str
) -> None:
    """The message names the setting and shows no secret, nor does its cause."""
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, tmp_path, **given)
    assert said in str(caught.value)
    assert "PIPELINE_HTTP" in str(caught.value)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "given",
    [
        {**USER, "HOST": "localhost"},
        {**USER, "HOST": "::1"},
        {**USER, "HOST": "0.0.0.0", "TLS_ELSEWHERE": "true"},
        {**USER, "HOST": "0.0.0.0", "CERT_FILE": "@us.crt", "KEY_FILE": "@us.key"},
        {"USERNAME": "", "PASSWORD": "", "CERT_FILE": "", "KEY_FILE": "", "HOST": "0.0.0.0"},
    ],
)
def test_what_fits_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str]
) -> None:
    """A password is taken where nobody can read it on its way."""
    assert load(monkeypatch, tmp_path, **given).http.host == given["HOST"]


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither by `config`, nor in a settings object that lands in a log."""
    settings = load(monkeypatch, tmp_path, **USER)
    found = in_force(settings, Settings(instance=""), {})
    text = io.StringIO()
    Console(file=text, width=500).print(*as_table(found, {}))
    told = text.getvalue() + repr(as_json(found)) + repr(settings) + settings.model_dump_json()
    assert PLANTED not in told
    assert "********" in text.getvalue()


def test_the_address_of_metrics() -> None:
    """It can be pasted into a browser, whatever the address and with TLS or without."""
    assert HttpSettings().metrics_url(1) == "http://127.0.0.1:1/metrics"
    assert HttpSettings(host="::1").metrics_url(1) == "http://[::1]:1/metrics"
    secure = HttpSettings.model_construct(host="us", cert_file=Path("us.crt"))
    assert secure.metrics_url(1) == "https://us:1/metrics"
