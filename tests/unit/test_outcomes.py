"""The ledger: every delivery has one outcome, or is in flight."""

from __future__ import annotations

from lanternpipe.runtime.outcomes import PROCESSED, Outcomes


def test_the_ledger_is_even_while_work_is_open_and_after_it() -> None:
    """What is in flight accounts for open work, its outcomes for what was committed or undone."""
    outcomes = Outcomes(consumed=5)
    outcomes.pending[PROCESSED] += 5
    assert outcomes.unaccounted(in_flight=5) == 0
    outcomes.commit()
    assert outcomes.unaccounted(in_flight=0) == 0
    outcomes.consumed += 3
    outcomes.abandon(3, "_TRANSPORT")
    assert outcomes.unaccounted(in_flight=0) == 0


def test_a_dropped_record_shows() -> None:
    """A record without outcome, and one that is counted twice, make the ledger uneven for good."""
    outcomes = Outcomes(consumed=5)
    outcomes.pending[PROCESSED] += 4
    outcomes.commit()
    assert outcomes.unaccounted(in_flight=0) == 1
    outcomes.pending[PROCESSED] += 2
    outcomes.commit()
    assert outcomes.unaccounted(in_flight=0) == -1


def test_totals_have_every_outcome() -> None:
    """Totals add up reasons, and name what has not happened, too."""
    outcomes = Outcomes()
    outcomes.pending.update({("filtered", "old"): 2, ("filtered", "no_output"): 1})
    outcomes.commit()
    assert outcomes.totals()["filtered"] == 3
    assert outcomes.totals()["dead_lettered"] == 0
