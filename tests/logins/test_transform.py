"""What happens to one login, and how versions compare."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lanternpipe import Context, Reject, Skip
from logins.events import ProcessedUserLogin, UserLogin, Version
from logins.transform import Settings, transform
from tests.logins.a_login import login

NUMBERS = st.tuples(*[st.integers(0, 10**9 - 1)] * 3)
CTX = Context(1_729_741_923, Settings())


def dotted(numbers: tuple[int, ...]) -> str:
    """Return numbers as a version is written."""
    return ".".join(map(str, numbers))


@given(NUMBERS, NUMBERS)
def test_versions_compare_by_number(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Versions are ordered as the tuples of their numbers."""
    assert (Version(dotted(one)) < Version(dotted(other))) == (one < other)
    assert (Version(dotted(one)) == Version(dotted(other))) == (one == other)


def test_ten_is_more_than_nine() -> None:
    """Version 2.10.0 is newer than 2.9.1, which text would not say."""
    assert Version("2.10.0") > Version("2.9.1") > Version("2.0.0")


NO_VERSIONS = [
    *("", "2", "2.3", "2.3.0.1", "2.3.x", "2..0", " 2.3.0", "2.3.0\n", "-1.2.3", "beta-2.3.0"),
    *("2.3.\u00b2", "2.3.\u0663", "1.2." + "9" * 10),
]


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_what_is_no_version_is_rejected_with_its_field(text: str) -> None:
    """Anything but three plain numbers is rejected, naming the field and the form."""
    with pytest.raises(Reject) as caught:
        transform(login(text), CTX)
    found = caught.value
    assert (found.reason, found.field, found.limit) == ("invalid", "app_version", "N.N.N")


@given(st.text(max_size=12))
def test_any_text_is_a_version_or_rejected(text: str) -> None:
    """No text leads to anything but a version or a rejection."""
    with contextlib.suppress(Reject):
        assert len(Version(text)) == 3


def test_all_fields_are_taken_over() -> None:
    """The output has every field of the input, in the same order, and one more at the end."""
    names = UserLogin.__struct_fields__
    given = login("2.3.0")
    output = transform(given, Context(7, Settings()))
    assert isinstance(output, ProcessedUserLogin)
    assert ProcessedUserLogin.__struct_fields__ == (*names, "processed_timestamp")
    assert msgspec.structs.asdict(output) == {
        **msgspec.structs.asdict(given),
        "processed_timestamp": 7,
    }


def test_a_login_is_let_through_with_the_time() -> None:
    """A login from a current app comes out with the time of processing."""
    output = transform(login(), CTX)
    assert isinstance(output, ProcessedUserLogin)
    assert output.processed_timestamp == 1_729_741_923


@pytest.mark.parametrize(
    ("version", "through"),
    [("1.9.9", False), ("1.12.4", False), ("2.0.0", True), ("2.10.0", True), ("10.0.0", True)],
)
def test_old_apps_are_filtered(version: str, through: bool) -> None:
    """A login from an app older than the minimum is filtered, with a reason."""
    result = transform(login(version), CTX)
    assert isinstance(result, ProcessedUserLogin) is through
    assert through or result == Skip("old_app_version")


def test_the_minimum_is_a_setting() -> None:
    """Which app is too old can be set, and only to something that is a version."""
    ctx = Context(0, Settings(minimum_version="2.10.0"))
    assert transform(login("2.9.1"), ctx) == Skip("old_app_version")
    with pytest.raises(ValidationError, match="minimum_version"):
        Settings(minimum_version="2.10")
