"""What the runtime relies on, held by the fake, the embedded and a real broker alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lanternpipe.errors import FencedFailure
from lanternpipe.kafka.embedded import embedded_broker
from lanternpipe.records import Outgoing, TopicPartition
from lanternpipe.testing.kafka_cluster import KafkaCluster
from tests.contract.backends import (
    OUTPUT,
    Backend,
    FakeBackend,
    KafkaBackend,
    Row,
    begin,
    read_to_end,
    retried,
    silent,
    until,
)

NOW = 1_790_000_000_000
ROWS: list[Row] = [
    (b"a", b"1", NOW, None),
    (b"b", None, NOW + 1, [("traceparent", b"00-1"), ("empty", b""), ("none", None)]),
    (None, b"", NOW + 2, None),
    (b"a", b"\xff\x00", NOW + 3, [("twice", b"1"), ("twice", b"2")]),
]


@pytest.fixture(name="backend", params=["fake", "embedded", "real"])
def _backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "fake":
        yield FakeBackend()
    elif request.param == "embedded":
        with embedded_broker([], log=silent) as address:
            yield KafkaBackend("embedded", address)
    else:
        kafka: KafkaCluster = request.getfixturevalue("kafka")
        yield KafkaBackend("real", kafka.bootstrap_servers)


def outputs(*values: bytes) -> Outgoing:
    """Return records for the output topic."""
    return Outgoing(OUTPUT, [b"k"] * len(values), [*values], [NOW] * len(values))


def test_records_come_as_they_were_written(backend: Backend) -> None:
    """Keys, values, timestamps and headers come back as written, in offset order."""
    backend.fill(ROWS)
    source = backend.source()
    begin(backend, source)

    runs = read_to_end(source, len(ROWS))

    rows = [
        (key, value, stamp, (run.headers[place] if run.headers else None) or None)
        for run in runs
        for place, (key, value, stamp) in enumerate(
            zip(run.keys, run.values, run.timestamps, strict=True)
        )
    ]
    assert sorted(rows, key=lambda row: row[2]) == ROWS
    for run in runs:
        assert run.offsets == sorted(set(run.offsets))


def test_end_lies_behind_the_last_record(backend: Backend) -> None:
    """The end of a partition is reported once, as the offset behind its last record."""
    backend.fill([(b"a", b"1", NOW, None)] * 3)
    source = backend.source()
    begin(backend, source)
    ends: dict[TopicPartition, int] = {}

    (run, *_) = read_to_end(source, 3, ends)

    assert ends[run.source] == 3
    assert not [*source.fetch(10, 0.1).ends]


def test_seek_goes_back(backend: Backend) -> None:
    """After a seek the first record is the one sought, though others were fetched ahead."""
    backend.fill([(b"a", b"%d" % number, NOW, None) for number in range(100)])
    source = backend.source()
    begin(backend, source)
    (first, *_) = read_to_end(source, 100)

    until(lambda: source.seek(first.source, 40))
    (again, *_) = read_to_end(source, 60)

    assert (again.offsets[0], again.values[0]) == (40, b"40")


def test_partition_without_offset_is_told_and_one_with_offset_resumes(backend: Backend) -> None:
    """Without a commit a partition is reported as lost; after one, a new member goes on there."""
    backend.fill([(b"a", b"%d" % number, NOW, None) for number in range(10)])
    source = backend.source()
    unknown = begin(backend, source)
    (run, *_) = read_to_end(source, 10)
    assert run.source in unknown

    retried(lambda: source.commit({run.source: 4}))
    assert source.committed([run.source]) == {run.source: 4}
    source.close()
    successor = backend.source()

    assert run.source not in begin(backend, successor)
    (rest, *_) = read_to_end(successor, 6)
    assert (rest.offsets[0], rest.values[0]) == (4, b"4")


def test_transaction_is_visible_as_a_whole(backend: Backend) -> None:
    """Outputs and offsets of a committed transaction become visible, those of an abort do not."""
    if backend.name == "embedded":
        pytest.xfail("the embedded broker isolates no transactions: nothing rests on it there")
    backend.fill([(b"a", b"1", NOW, None)] * 5)
    source = backend.source()
    begin(backend, source)
    (run, *_) = read_to_end(source, 5)
    sink = backend.sink("writer")
    retried(sink.init_transactions)

    for value, offset, end in ((b"good", 2, sink.commit), (b"undone", 5, sink.abort)):
        sink.begin()
        sink.send(outputs(value))
        retried(lambda at=offset: sink.send_offsets({run.source: at}, source.group_metadata()))  # type: ignore[misc]
        assert sink.flush(10) == 0
        retried(end)

    assert backend.visible(1) == [b"good"]
    assert source.committed([run.source]) == {run.source: 2}


def test_successor_fences_its_predecessor(backend: Backend) -> None:
    """A producer initialised with the same transactional id ends the older one's transaction."""
    if backend.name != "real":
        pytest.xfail("only a real broker fences")
    old, new = backend.sink("same"), backend.sink("same")
    retried(old.init_transactions)
    old.begin()
    old.send(outputs(b"zombie"))
    old.flush(10)

    retried(new.init_transactions)
    with pytest.raises(FencedFailure):
        old.commit()
    new.begin()
    new.send(outputs(b"successor"))
    retried(new.commit)

    assert backend.visible(1) == [b"successor"]
