"""What the documents say is true: links lead somewhere, commands run, generated parts are fresh."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from lanternpipe.telemetry.reference import as_markdown
from lanternpipe.testing.kafka_cluster import KafkaCluster

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"(?:<!-- not run here: (.+?) -->\n)?```sh\n(.*?)```", re.DOTALL)
MAKE = re.compile(r"^make ([a-z-]+)", re.MULTILINE)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a user who has the project's commands on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "PIPELINE_INSTANCE": "", **more}


def blocks(document: Path) -> list[str]:
    """Return the shell blocks that are to be run."""
    return [text for reason, text in BLOCK.findall(document.read_text()) if not reason]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    """Every relative link of a document leads to a file that exists."""
    targets = [link for link in LINK.findall(document.read_text()) if "://" not in link]

    assert not [link for link in targets if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets(document: Path) -> None:
    """Every make target that a document names exists."""
    named = {name for text in blocks(document) for name in MAKE.findall(text)}
    known = set(
        re.findall(r"^([a-z-]+(?: [a-z-]+)*):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )

    assert named <= {name for names in known for name in names.split()}


def test_configuration_is_fresh() -> None:
    """docs/configuration.md is what `lanternpipe config --markdown` prints."""
    printed = subprocess.run(
        [BIN / "lanternpipe", "config", "--markdown"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert (ROOT / "docs/configuration.md").read_text() == printed.stdout


def test_reference_of_signals_is_up_to_date() -> None:
    """The reference of metrics and log lines is what the catalogue says."""
    assert (ROOT / "docs/metrics.md").read_text() == as_markdown()


def test_transform_in_readme_is_the_real_one() -> None:
    """The transform that the README shows is the one that runs."""
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

    assert shown in (ROOT / "src/logins/transform.py").read_text()


@pytest.mark.kafka
def test_readme_commands_run(kafka: KafkaCluster, unique: Callable[[str], str]) -> None:
    """The README's commands run as written, on a real broker, and lag ends at 0."""
    names = {
        "PIPELINE_TOPICS__INPUT": unique("user-login"),
        "PIPELINE_TOPICS__OUTPUT": unique("processed-user-login"),
        "PIPELINE_KAFKA__GROUP_ID": unique("readme"),
    }
    setting = environment(**names, PIPELINE_KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers)
    commands = [text for text in blocks(ROOT / "README.md") if "make " not in text]
    assert any("lanternpipe process" in text for text in commands)
    outputs = []
    for text in commands:
        script = text.replace("127.0.0.1:9092", kafka.bootstrap_servers)
        if "lanternpipe process" in script:
            # It runs until stopped: until the group has nothing left to do.
            script = (
                f"{script.strip()} & pid=$!; for _ in $(seq 600); do "
                "lanternpipe lag --json | grep -q '\"records\": 0,' && break; sleep 0.1; done; "
                "kill -TERM $pid; wait $pid"
            )
        done = subprocess.run(
            ["bash", "-ec", script],
            check=False,
            env=setting,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    _, sent, processed, lag = outputs
    assert "10,000 events acknowledged" in sent
    assert '"event": "stopped"' in processed
    assert "0 records behind" in lag


@pytest.mark.kafka
def test_commands_for_dead_letters_run(
    kafka: KafkaCluster, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """The commands for dead letters run as written, with the function that mends them."""
    source = unique("user-login")
    setting = environment(
        PIPELINE_TOPICS__INPUT=source,
        PIPELINE_TOPICS__OUTPUT=unique("processed-user-login"),
        PIPELINE_KAFKA__GROUP_ID=unique("dead-letters"),
        PIPELINE_KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
    )

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", script],
            check=False,
            env=setting,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("lanternpipe topics apply")
    good = (
        b'{"user_id": "u", "app_version": "v2.3.0", "ip": "::1", "locale": "NV", '
        b'"device_id": "d", "timestamp": 1729741922, "device_type": "iOS"}'
    )
    sender = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value in (good, b"no json", b"{}"):
        sender.produce(source, value, b"alice")
    assert sender.flush(60.0) == 0
    run(
        "lanternpipe process & pid=$!; for _ in $(seq 600); do "
        "lanternpipe dlq stats --json | grep -q '\"total\": 3,' && break; sleep 0.1; done; "
        "kill -TERM $pid; wait $pid"
    )
    page = ROOT / "docs/dead-letters.md"
    (function,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "mending.py").write_text(function)

    stats, peek, dry, mended, rest, origin = map(run, blocks(page))

    assert f"3 dead letters in {source}.dlq" in stats
    assert "2 of 2 matching dead letters" in peek
    assert f"2 letters would be replayed to {source}.replay" in dry
    assert f"1 letters replayed to {source}.replay\n1 skipped: 1 left alone by --mend" in mended
    assert f"2 letters replayed to {source}.replay" in rest
    assert f"3 letters replayed to {source}\n" in origin
