"""What ``lanternpipe`` itself exports, and its test kit."""

from __future__ import annotations

import pytest

import lanternpipe
from lanternpipe import testing


@pytest.mark.parametrize("name", lanternpipe.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Each name that is promised can be had, and is listed."""
    assert getattr(lanternpipe, name) is not None
    assert name in dir(lanternpipe)


def test_other_names_are_not() -> None:
    """A name that is not promised is refused as by any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        lanternpipe.Nothing  # noqa: B018  # asking is the point


@pytest.mark.parametrize("name", testing.__all__)
def test_every_public_name_of_the_kit_is_there(name: str) -> None:
    """Each name that is promised to tests can be had; others are refused."""
    assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        testing.Nothing  # noqa: B018  # asking is the point
