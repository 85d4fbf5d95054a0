"""A processor's loop while its port of metrics and probes is attacked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.chaos.processor import Processor
from tests.chaos.waiting import until
from tests.chaos.workload import workload
from tests.integration.deployed import SECONDS, Deploy, drain, send, verify
from tests.scrape import scraped, value

pytestmark = pytest.mark.kafka

HELD = 2_000
# Another process, so that the attack does not wait for us: new clients with garbage, for ever.
GARBAGE = """
import os, socket, sys
at = sys.argv[1], int(sys.argv[2])
noise = (os.urandom(500), b"GET /livez HTTP/1.1\\r\\nX: " + b"y" * 100_000, b"GET", b"")
while True:
    for each in noise:
        try:
            with socket.create_connection(at, 1) as client:
                client.sendall(each)
        except OSError:
            pass
"""


def test_records_flow_while_the_port_is_attacked(deploy: Deploy) -> None:
    """With 2,000 connections held open, and garbage on new ones, records and probes go on."""
    deployment = deploy(partitions=2)
    processor = Processor(deployment, "processor").start_and_join()
    at = urlsplit(processor.metrics)
    host, port = str(at.hostname), int(at.port or 0)
    records = list(workload(1, 4_000, filtered=0.0, poison=0.0))
    with ExitStack() as stack:
        for _ in range(HELD):
            stack.enter_context(socket.create_connection((host, port), SECONDS))
        command = [sys.executable, "-c", GARBAGE, host, str(port)]
        attacker = stack.enter_context(subprocess.Popen(command))
        stack.callback(attacker.kill)
        sender = send(deployment, records)
        drain(deployment)
        assert attacker.poll() is None

        began = time.monotonic()
        with urlopen(processor.metrics.replace("/metrics", "/livez")) as answer:  # our own
            assert json.load(answer)["ok"]
        assert time.monotonic() - began < 3.0

        def consumed() -> bool:
            found = value(scraped(processor.metrics), "messaging_client_consumed_messages_total")
            return (found or 0) > 0

        until(consumed, SECONDS, "a scrape that shows what was consumed")
    verify(deployment, sender)
    assert processor.stop() == 0
    assert "Traceback" not in processor.text()
