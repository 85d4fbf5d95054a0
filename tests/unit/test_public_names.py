"""What ``lanternpipe`` itself exports."""

from __future__ import annotations

import pytest

import lanternpipe


@pytest.mark.parametrize("name", lanternpipe.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Each name that is promised can be had, and is listed."""
    assert getattr(lanternpipe, name) is not None
    assert name in dir(lanternpipe)


def test_other_names_are_not() -> None:
    """A name that is not promised is refused as by any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        lanternpipe.Nothing  # noqa: B018  # asking is the point
