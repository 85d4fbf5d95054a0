"""The command line, as far as it needs no broker."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys

import pytest

from lanternpipe.cli import _parser, main
from lanternpipe.errors import LanternpipeError
from lanternpipe.exit_codes import EXIT_CODES
from lanternpipe.version import VERSION


def verbs(parser: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb, and of those below it."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in (parser or _parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                found[name] = below
                found |= {f"{name} {more}": each for more, each in verbs(below).items()}
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what is said about arguments that are refused."""
    with pytest.raises(SystemExit) as caught:
        _parser().parse_args(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def subclasses(kind: type[LanternpipeError]) -> list[type[LanternpipeError]]:
    """Return all errors below one."""
    return [each for below in kind.__subclasses__() for each in (below, *subclasses(below))]


@pytest.mark.parametrize("verb", verbs())
def test_help_has_an_example_that_can_be_typed(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """Each verb's help says what it does and shows an example, which is a valid command."""
    with pytest.raises(SystemExit) as caught:
        main([*verb.split(), "--help"])
    assert caught.value.code == 0
    _, _, example = capsys.readouterr().out.partition("example:\n")
    words = [word for word in shlex.split(example) if "=" not in word]
    assert words[: 1 + len(verb.split())] == ["lanternpipe", *verb.split()]
    assert callable(_parser().parse_args(words[1:]).run)


def test_every_option_says_what_it_is() -> None:
    """No option is left without a word about it."""
    for verb, parser in verbs().items():
        for action in parser._actions:
            assert action.help or action.choices, (verb, action.dest)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is told."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"{VERSION}\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["destroy"], "invalid choice: 'destroy'"),
        (["topics"], "action"),
        (["topics", "destroy"], "invalid choice: 'destroy'"),
        (["produce", "--poison", "2"], "invalid share (0 to 1) value: '2'"),
        (["produce", "--filtered", "-0.1"], "invalid share (0 to 1) value: '-0.1'"),
        (["produce", "--poison", "nan"], "invalid share (0 to 1) value: 'nan'"),
        (["produce", "--rate", "0"], "invalid rate (above 0, or max) value: '0'"),
        (["produce", "--rate", "fast"], "invalid rate (above 0, or max) value: 'fast'"),
        (["produce", "--seconds", "-1"], "invalid positive number value: '-1'"),
        (["produce", "--count", "x"], "--count"),
        (["lag", "--every", "0"], "invalid positive number value: '0'"),
        (["journey", "user-login"], "invalid place (TOPIC/PARTITION/OFFSET) value: 'user-login'"),
        (["journey", "user-login/3"], "invalid place (TOPIC/PARTITION/OFFSET)"),
        (["journey", "user-login/3/-1"], "invalid place (TOPIC/PARTITION/OFFSET)"),
        (["journey", "user-login/3/4/5"], "invalid place (TOPIC/PARTITION/OFFSET)"),
        (["journey", "/3/4"], "invalid place (TOPIC/PARTITION/OFFSET)"),
        (["journey", "--key", "k", "--at", "noon"], "invalid time (2026-01-31T08:00:00Z, or"),
        (["journey", "--key", "k", "--at", "2026-01-31T08:00:00"], "invalid time"),
        (["journey", "user-login/3/4", "--within", "0"], "invalid positive number value: '0'"),
        (["health", "--timeout", "0"], "invalid positive number value: '0'"),
        (["dlq"], "COMMAND"),
        (["dlq", "destroy"], "invalid choice: 'destroy'"),
        (["dlq", "stats", "--since", "noon"], "invalid time (2026-01-31T08:00:00Z, or"),
        (["dlq", "peek", "--count", "0"], "invalid count (1 or more) value: '0'"),
        (["dlq", "replay", "--rate", "0"], "invalid rate (above 0, or max) value: '0'"),
        (["dlq", "replay", "--max", "-1"], "--max"),
        (["dlq", "replay", "--to", "x", "--to-origin"], "not allowed with argument --to"),
        (["process", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_options_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    """A bad option ends with code 2, a word about the option, and how the command is used."""
    message = refusal(capsys, *arguments)
    assert says in message
    assert "usage: lanternpipe" in message


@pytest.mark.parametrize(
    ("option", "value"),
    [("--rate", "inf"), ("--rate", "nan"), ("--seconds", "nan"), ("--count", "-1")],
)
def test_numbers_that_lead_nowhere_are_refused(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    """What is a number but no rate, time or count is refused as well."""
    assert option in refusal(capsys, "produce", option, value)


@pytest.mark.parametrize(("text", "rate"), [("max", None), ("12.5", 12.5)])
def test_rate(text: str, rate: float | None) -> None:
    """A rate is a number of events per second, or as many as possible."""
    assert _parser().parse_args(["produce", "--rate", text]).rate == rate


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1700000000123", 1_700_000_000_123),
        ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
    ],
)
def test_time(text: str, milliseconds: int) -> None:
    """A time is given with its zone, or in milliseconds as Kafka's own tools print it."""
    assert _parser().parse_args(["journey", "--key", "k", "--at", text]).at == milliseconds


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--key", "k"],
        ["--at", "1"],
        ["in/0/1", "--key", "k"],
        ["in/0/1", "--at", "1"],
        ["in/0/1", "--key", "k", "--at", "1"],
    ],
)
def test_a_journey_has_one_beginning(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """A place, or a key and a time: neither and both are refused before anything is asked."""
    assert main(["journey", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "either TOPIC/PARTITION/OFFSET, or both --key and --at" in line


@pytest.mark.parametrize("error", [LanternpipeError, *subclasses(LanternpipeError)])
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[LanternpipeError],
) -> None:
    """Each error has the code of its kind, and is told line by line without a traceback."""
    monkeypatch.setenv("PIPELINE_APP", f"tests.unit.raising:{error.__name__}")
    expected = {
        "ConfigError": 2,
        "TopicError": 3,
        "OffsetError": 4,
        "FatalFailure": 5,
        "KafkaFailure": 6,
        "RetriableFailure": 6,
        "AbortableFailure": 6,
        "FencedFailure": 6,
        "DeliveryError": 7,
        "RefusedFailure": 8,
    }
    assert main(["config"]) == expected.get(error.__name__, 1)
    said = capsys.readouterr()
    assert said.err.startswith("lanternpipe: first line\nlanternpipe: second line")
    assert said.out == ""


def test_codes_are_distinct_and_none_means_success() -> None:
    """A supervisor can tell errors apart by their code."""
    codes = [code for _, code in EXIT_CODES]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with the code that shells expect."""
    monkeypatch.setenv("PIPELINE_APP", "tests.unit.raising:KeyboardInterrupt")
    assert main(["config"]) == 130


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PIPELINE_DELIVERY", "twice"), ("PIPELINE_APP", "no_such_app"), ("PIPELINE_HTTP__PROT", "1")],
)
@pytest.mark.parametrize(
    "verb",
    ["process", "produce", "lag", "journey in/0/1", "config", "topics apply", "dlq stats"],
)
def test_wrong_settings_stop_every_verb(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    variable: str,
    value: str,
) -> None:
    """With a wrong setting no verb begins, and each names the variable."""
    monkeypatch.setenv(variable, value)
    assert main(verb.split()) == 2
    assert capsys.readouterr().err.startswith(f"lanternpipe: {variable}")


def test_a_missing_input_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is named, and nothing is sent."""
    assert main(["produce", "--input", "/no/such/file"]) == 2
    assert "--input /no/such/file: No such file" in capsys.readouterr().err


def test_config_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings can be read by a program, with where they come from."""
    monkeypatch.setenv("PIPELINE_KAFKA__GROUP_ID", "readers")
    assert main(["config", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["PIPELINE_KAFKA__GROUP_ID"] == {"value": "readers", "from": "environment"}
    assert found["PIPELINE_DELIVERY"] == {"value": "exactly-once", "from": "default"}
    assert found["PIPELINE_APP__MINIMUM_VERSION"]["value"] == "2.0.0"


def test_config_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings are shown with their variables, and below them what nothing reads."""
    monkeypatch.setenv("PIPELINE_SERVICE_HOST", "10.0.0.1")
    assert main(["config"]) == 0
    said = capsys.readouterr().out
    assert "PIPELINE_KAFKA__BOOTSTRAP_SERVERS" in said
    assert "PIPELINE_SERVICE_HOST is not a setting" in said


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """When whoever reads the output has gone, the command ends with the code of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-u", "-m", "lanternpipe", "config", "--markdown"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
