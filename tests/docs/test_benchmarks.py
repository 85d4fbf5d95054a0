"""The tables of docs/benchmarks.md are those of the result files beside the benchmarks."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.latency import table as latency_table
from benchmarks.peers import __main__ as peers
from benchmarks.peers.contenders import PEERS

TEXT = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()


def test_side_by_side() -> None:
    """The document shows everybody's cost, restarts and latency as they were measured."""
    left = msgspec.json.decode(peers.RESULTS.read_bytes(), type=peers.Results)
    names = [peer.name for peer in PEERS if peer.has_latency]

    assert peers.table(left.rounds, left.restarts, PEERS) in TEXT
    assert latency_table(left.latency, names).partition("\n\n")[0] in TEXT
