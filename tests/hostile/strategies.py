"""What strangers send, for hypothesis: JSON that no library writes, headers, environments."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lanternpipe import headers
from lanternpipe.environment import variables
from lanternpipe.letter import Letter
from lanternpipe.records import Headers, Place, Records, TopicPartition
from lanternpipe.settings import Settings
from lanternpipe.testing.fake_broker import Stored, run_of

FIELDS = ("user_id", "app_version", "ip", "locale", "device_id", "timestamp", "device_type")
OURS = sorted(
    {str(value) for name, value in vars(headers).items() if name.isupper() and type(value) is str}
    | {headers.cut_bytes(part) for part in ("key", "value", "headers")}
)
# What is read as a time by us; Kafka stores any 64 bits.
TIMES = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2_000_000_000_000)

# Written by hand, since json.dumps writes none of it.
ODD = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "1e999999",
        "-1e999999",
        "1e-999999",
        "-0",
        "00",
        "1.",
    ),
    *("9" * 400, "-" + "9" * 400, "0." + "9" * 400, "9" * 5_000, '"' + "9" * 5_000 + '"'),
    *(r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\x00"', r'"\x"', '"\\', '"', "tru", "//", ""),
    *("[" * 2_000, "[" * 2_000 + "]" * 2_000, '{"a":' * 2_000, '"2.3.0"', "1729741922", "[]", "{}"),
    *(
        '"\uff11.\uff12.\uff13"',
        '"1.2.3.4"',
        '"1e1.2.3"',
        '"1729741922.0"',
        '"0x10"',
        "1729741922.0",
        "true",
    ),
)
NAMES = st.sampled_from([f'"{name}"' for name in FIELDS]) | st.sampled_from(
    ['"timest\\u0061mp"', '""', '"\\ud800"', "timestamp", '"ip" ', '"IP"', '"\x00"']
)
SCALARS = st.sampled_from(ODD) | st.sampled_from(['"u"', '"2.3.0"', "1", "null"])
TOKENS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(NAMES, inner), max_size=9).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=12,
)
FRAMES = st.sampled_from(
    [b"", b"\xef\xbb\xbf", b"\x00", b" ", b"\xff", b"\n\n", b"{}", b"\xfe\xff"]
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Draw a login with some of its fields spoilt, doubled or left out."""
    good = {name: '"2.3.0"' if name == "app_version" else '"u"' for name in FIELDS}
    pairs = [*{**good, "timestamp": "1729741922"}.items()]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(pairs)))
        pairs[at : at + draw(st.integers(0, 1))] = [(draw(st.sampled_from(FIELDS)), draw(TOKENS))]
    text = "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"
    return draw(FRAMES) + text.encode("utf-8", "surrogatepass") + draw(FRAMES)


JSON = st.tuples(FRAMES, TOKENS, FRAMES).map(lambda parts: parts[0] + parts[1].encode() + parts[2])
VALUES = st.none() | st.binary(max_size=100) | JSON | spoilt()

CONTEXTS = st.sampled_from(
    [
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-" * 20_000,
        b"-" * 55,
    ]
)
CONTENTS = (
    st.none()
    | st.binary(max_size=30)
    | CONTEXTS
    | st.sampled_from(
        [
            b"",
            b"0",
            b"-1",
            b"9" * 8,
            b"9" * 18,
            b"9" * 5_000,
            "\u0663".encode(),
            b"1e9",
            b"words/0/1",
        ]
    )
)
# A name comes to us as text, or not at all: the client reads UTF-8 and nothing else.
HEADER_NAMES = (
    st.sampled_from([*OURS, "traceparent", "tracestate", "kafka_dlt-x", "", "\x00", "pipeline-x"])
    | st.sampled_from(["e\u0301", "\u202e", "\x1b[31m", "n" * 3_000])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
HEADERS: st.SearchStrategy[Headers] = st.lists(st.tuples(HEADER_NAMES, CONTENTS), max_size=12)
KEYS = st.none() | st.binary(max_size=20)


@st.composite
def runs(draw: st.DrawFn) -> Records:
    """Draw a run of such records."""
    count, offset = draw(st.integers(1, 6)), draw(st.integers(0, 2**62))
    found = [
        Stored(draw(VALUES), draw(KEYS), draw(TIMES), draw(st.none() | HEADERS))
        for _ in range(count)
    ]
    source = TopicPartition("user-login", draw(st.integers(0, 10_000)))
    return run_of(source, [(offset + at, stored) for at, stored in enumerate(found)])


LETTERS = st.builds(
    Letter,
    st.builds(Place, st.just("words.dlq"), st.integers(0, 9), st.integers(0, 2**62)),
    TIMES,
    KEYS,
    VALUES,
    HEADERS,
    st.booleans(),
)
MARKS = (
    st.none()
    | VALUES
    | st.tuples(TOKENS, TOKENS, TOKENS, TOKENS).map(
        lambda each: (
            f'{{"at":{each[0]},"to":{each[1]},"run":"r","replays":{each[2]},"letter":{each[3]}}}'
        ).encode("utf-8", "surrogatepass")
    )
)

VARIABLES = [variable.name for variable in variables(Settings.model_construct())]
GROUPS = sorted({name.rpartition("__")[0] for name in VARIABLES if "__" in name})
MANY = ("PIPELINE_KAFKA__EXTRA__", "PIPELINE_KAFKA__CONSUMER_EXTRA__A__", "PIPELINE_APP__")
# An environment has no NUL; all other bytes may be there, as Python shows them.
TEXTS = (
    st.binary(max_size=30).map(
        lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    )
    | TOKENS.map(lambda text: text.replace("\0", ""))
    | st.sampled_from(["", " ", "nan", "inf", "-1", "1e400", "0x1", "true", "\u0661", "9" * 5_000])
    | st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-W01-1T00Z"])
)
ENVIRONMENTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(VARIABLES)
    | st.sampled_from(GROUPS)
    | st.tuples(
        st.sampled_from(MANY), st.sampled_from(["", "A", "a.b", "ACKS", "é", "\udcff"])
    ).map("".join),
    TEXTS,
    min_size=1,
    max_size=3,
)
