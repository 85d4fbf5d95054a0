"""JSON to events and back, and why something is no event."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from lanternpipe import Context
from lanternpipe.codec.json import JsonCodec
from lanternpipe.errors import Reject
from logins.events import ProcessedUserLogin, UserLogin
from logins.transform import Settings, transform

CODEC = JsonCodec(UserLogin)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LOGINS = st.builds(UserLogin, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(0, 253_402_300_799), TEXT)
SAMPLE: dict[str, Any] = {
    "user_id": "63cd3c70-6c44-4971-9fc9-6c45612f31c9",
    "app_version": "2.3.0",
    "ip": "91.42.227.164",
    "locale": "NV",
    "device_id": "93f1cd25-fe64-4f2c-b574-f6c0345c3c8a",
    "timestamp": 1729741922,
    "device_type": "iOS",
}


class Coat(Struct):
    """An event whose field may hold a few words only, with another event in it."""

    size: Literal["S", "M"] = "S"
    owner: UserLogin | None = None


def sample(**changed: Any) -> bytes:
    """Return the sample input of the documentation, with other values where given."""
    fields = {**SAMPLE, **changed}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def unless_event(value: bytes | None, codec: JsonCodec[Any] = CODEC) -> Reject | None:
    """Return why a value is no event; None if it is one."""
    try:
        codec.decode(value)
    except Exception as error:  # noqa: BLE001  # as the planner does
        return codec.explain(value, error)
    return None


def explained(value: bytes | None, codec: JsonCodec[Any] = CODEC) -> Reject:
    """Return why a value is no event."""
    why = unless_event(value, codec)
    assert why is not None
    return why


@given(LOGINS)
def test_round_trip(login: UserLogin) -> None:
    """What is encoded is decoded to the same event."""
    assert CODEC.decode(CODEC.encode(login)) == login


@given(LOGINS)
def test_encoded_is_compact_json_in_declared_order(login: UserLogin) -> None:
    """An encoded event is UTF-8 JSON with the fields in the order of their declaration."""
    fields = {name: getattr(login, name) for name in UserLogin.__struct_fields__}
    expected = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    assert json.loads(CODEC.encode(login)) == json.loads(expected)
    assert list(json.loads(CODEC.encode(login))) == list(fields)


def test_sample_of_the_documentation() -> None:
    """The documented input gives the documented output, byte for byte but for blanks."""
    login = CODEC.decode(sample())
    event = transform(login, Context(1729741923, Settings()))
    output = JsonCodec(ProcessedUserLogin).encode(event)
    expected = {**SAMPLE, "processed_timestamp": 1729741923}
    assert output == json.dumps(expected, separators=(",", ":")).encode()


def test_digits_are_read_as_a_number() -> None:
    """Real senders write timestamps as strings of digits."""
    assert CODEC.decode(sample(timestamp="1729741922")).timestamp == 1729741922


def test_unknown_fields_are_dropped() -> None:
    """A field that nobody declared is tolerated and not passed on: it may be personal data."""
    login = CODEC.decode(sample(password="s3cret"))
    assert CODEC.encode(login) == CODEC.encode(CODEC.decode(sample()))


@pytest.mark.parametrize(
    ("value", "reason", "field", "limit"),
    [
        (None, "tombstone", None, None),
        (b"", "empty", None, None),
        (b"{", "undecodable", None, None),
        (b"not json", "undecodable", None, None),
        (sample(locale="\xff").replace(b"\\u00ff", b"\xff"), "undecodable", None, None),
        (sample() + b"{}", "undecodable", None, None),
        (b'{"x":' + b"[" * 100_000, "undecodable", None, None),
        (b"[]", "invalid", None, "object"),
        (b"null", "invalid", None, "object"),
        (sample(ip=...), "invalid", "ip", "required"),
        (sample(ip=None), "invalid", "ip", "str"),
        (sample(ip=["s3cret"]), "invalid", "ip", "str"),
        (sample(user_id=""), "invalid", "user_id", "str of length >= 1"),
        (sample(timestamp="s3cret"), "invalid", "timestamp", "int"),
        (sample(timestamp=1.5), "invalid", "timestamp", "int"),
        (sample(timestamp=-1), "invalid", "timestamp", "int >= 0"),
        (sample(timestamp=10**12), "invalid", "timestamp", "int <= 253402300799"),
    ],
)
def test_reasons(value: bytes | None, reason: str, field: str | None, limit: str | None) -> None:
    """Each kind of broken value is explained by reason, field and what was expected."""
    why = explained(value)
    assert (why.reason, why.field, why.limit) == (reason, field, limit)


@pytest.mark.parametrize(
    ("value", "field", "limit"),
    [
        (b'{"owner": {}}', "owner.user_id", "required"),
        (b'{"owner": 5}', "owner", "object | null"),
        (b'{"owner": ' + sample(ip=5) + b"}", "owner.ip", "str"),
        (b'{"size": "XXL"}', "size", None),
    ],
)
def test_nested_fields_are_told_by_their_path(value: bytes, field: str, limit: str | None) -> None:
    """A field within a field is named by its whole path."""
    why = explained(value, JsonCodec(Coat))
    assert (why.reason, why.field, why.limit) == ("invalid", field, limit)


@pytest.mark.parametrize("text", ["Expected `s3cret`", "missing required field `s3cret`"])
def test_a_value_cannot_pose_as_an_explanation(text: str) -> None:
    """Where the parser repeats a value, nothing of the value gets into the explanation."""
    why = explained(json.dumps({"size": text}).encode(), JsonCodec(Coat))
    assert "s3cret" not in f"{why.reason} {why.field} {why.limit}"


@given(st.binary(max_size=200) | st.none())
def test_any_bytes_are_an_event_or_explained(value: bytes | None) -> None:
    """Whatever arrives, it is an event, or there is an explanation for it."""
    why = unless_event(value)
    assert why is None or why.reason in {"tombstone", "empty", "undecodable", "invalid"}


@given(
    st.sampled_from(sorted(SAMPLE)),
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.just("s3cret"),
        lambda inner: st.lists(inner) | st.dictionaries(st.just("s3cret"), inner),
    ),
)
def test_no_value_is_in_an_explanation(name: str, value: Any) -> None:
    """Whatever stands in a field, the explanation names the field and repeats nothing."""
    if why := unless_event(sample(**{name: value})):
        assert why.field == name
        assert "s3cret" not in f"{why.reason} {why.field} {why.limit}"
