"""Java Kafka Streams: builds the project beside this file, and says how to run it.

Its producers' ``batch.size`` is raised as ours is, and ``linger.ms`` lowered from its 100 where
latency is measured; commit intervals are its own: 30 s at least once, 100 ms exactly once.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).with_name("streams")
BATCH_BYTES = 512 * 1024


@contextmanager
def built() -> Iterator[str]:
    """Build with Maven for the block; return the class path."""
    if not shutil.which("mvn") or not shutil.which("java"):
        raise SystemExit("Kafka Streams needs a JDK 17 and Maven")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(PROJECT / "pom.xml"),
            f"-Dtarget={folder}",
            "package",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"Maven could not build Kafka Streams:\n{done.stdout}{done.stderr}")
        yield f"{folder}/streams-1.jar:{folder}/dependency/*"


def arguments(
    class_path: str, guarantee: str, servers: str, source: str, target: str, linger_ms: int | None
) -> list[str]:
    """Return what Java is to be given.

    Args:
        class_path: As built.
        guarantee: As Streams calls it.
        servers: Of the broker.
        source: The topic to read.
        target: The topic to write.
        linger_ms: None for what Streams sets itself.
    """
    java = ["-Xmx1g", "-cp", class_path, "lanternpipe.Logins"]
    settings = [f"producer.batch.size={BATCH_BYTES}"]
    if linger_ms is not None:
        settings.append(f"producer.linger.ms={linger_ms}")
    return [*java, servers, source, target, f"bench-{target}", guarantee, *settings]
