"""Before a topic of others is written to, they are named and a person is asked."""

from __future__ import annotations

import io

import pytest

from lanternpipe.errors import ConfigError
from lanternpipe.ops.onlookers import confirm, warn


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (["reports", "search"], "also groups other than ours: reports, search\n"),
        ([], "ours: none known, but readers without a group do not show\n"),
    ],
)
def test_other_readers_are_named(groups: list[str], says: str) -> None:
    """The groups are told; where there are none, that not all readers can be known."""
    said = io.StringIO()
    warn("in", groups, tell=said)
    assert "every reader of in gets these records once more" in said.getvalue()
    assert said.getvalue().endswith(says)


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_a_yes_is_a_yes(answer: str) -> None:
    """Who says yes goes on."""
    said = Terminal()
    confirm("in", ask=Terminal(answer), tell=said)
    assert said.getvalue() == "Go on? [y/N] "


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yesterday\n"])
def test_everything_else_is_a_no(answer: str) -> None:
    """Without a clear yes nothing is replayed."""
    with pytest.raises(ConfigError, match="nothing was replayed"):
        confirm("in", ask=Terminal(answer), tell=Terminal())


@pytest.mark.parametrize(
    ("ask", "tell"), [(io.StringIO("y\n"), Terminal()), (Terminal("y\n"), io.StringIO())]
)
def test_where_nobody_can_be_asked_it_has_to_be_said(ask: io.StringIO, tell: io.StringIO) -> None:
    """A script says --yes; what it pipes in is no answer."""
    with pytest.raises(ConfigError, match="add --yes"):
        confirm("in", ask=ask, tell=tell)
