"""The commands that erase a person's data run as written, and nothing of them is left."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.docs.test_docs import ROOT, blocks, environment
from tests.docs.test_runbooks import install_tools

pytestmark = pytest.mark.kafka

PAGE = ROOT / "docs/erasure.md"
# By key, by value alone, and between those of others; bob's last letter comes behind all.
SENT = (
    (b"alice", b"no json"),
    (b"bob", b"no json of bob"),
    (None, b'{"user_id": "alice"}'),
    (b"alice", b"{}"),
    (b"bob", b"{"),
)


def test_commands_for_erasing_run(
    kafka: KafkaCluster, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """After the page, the person's letters are gone and everybody else's were sent back."""
    source = unique("user-login")
    install_tools(kafka, tmp_path)
    setting = environment(
        PIPELINE_TOPICS__INPUT=source,
        PIPELINE_TOPICS__OUTPUT=unique("processed-user-login"),
        PIPELINE_TOPICS__PARTITIONS="1",
        PIPELINE_KAFKA__GROUP_ID=unique("erasure"),
        PIPELINE_KAFKA__BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
    )
    setting["PATH"] = f"{tmp_path}:{setting['PATH']}"

    def run(script: str) -> str:
        script = script.replace("127.0.0.1:9092", kafka.bootstrap_servers)
        done = subprocess.run(
            ["bash", "-ec", re.sub(r"\buser-login\b", source, script)],
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
    sender = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for key, value in SENT:
        sender.produce(source, value, key)
    assert sender.flush(60.0) == 0
    run(
        "lanternpipe process & pid=$!; for _ in $(seq 600); do "
        "lanternpipe dlq stats --json | grep -q '\"total\": 5,' && break; sleep 0.1; done; "
        "kill -TERM $pid; wait $pid"
    )
    (function,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "erase.py").write_text(function)
    letters = json.loads(run("lanternpipe dlq peek --all --json"))["letters"]
    hers = [each for each in letters if each["key_bytes"] != len(b"bob")]
    last = max(int(each["place"].rpartition("/")[2]) for each in hers)

    by_key, by_value, replay, delete, segments, rest, ends = blocks(PAGE)

    assert "2 of 2 matching dead letters" in run(by_key)
    assert 'value {"user_id": "alice"}' in run(by_value)
    told = run(replay)
    assert "2 letters replayed" in told
    assert "3 left alone by --mend" in told
    run(delete.replace('"offset": 5', f'"offset": {last + 1}'))
    assert "Completed updating config" in run(segments)
    assert "0 of 0 matching dead letters" in run(rest)
    assert "records behind" in run(ends)
    left = json.loads(run("lanternpipe dlq peek --all --show --json"))["letters"]
    assert [(each["key"], each["value"]) for each in left] == [("bob", "{")]
