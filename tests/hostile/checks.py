"""What must hold of anything that a stranger sends: functions that fail where it does not.

The tests call them with what hypothesis makes up, and the fuzzers with what they find.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from opentelemetry.sdk.resources import Resource
from rich.console import Console

from lanternpipe.app import explainer
from lanternpipe.assembly import build_breaker, build_planner
from lanternpipe.codec.json import JsonCodec
from lanternpipe.environment import load_app_settings, load_settings
from lanternpipe.errors import ConfigError, Reject
from lanternpipe.headers import PREFIX
from lanternpipe.kafka.config import consumer_config, transactional_config
from lanternpipe.letter import Letter
from lanternpipe.ops import dlq_peek, dlq_stats
from lanternpipe.ops.marks import Marks, key_of
from lanternpipe.ops.replay_plan import Order, Ready, obstacle, records_to_write
from lanternpipe.pipeline import Context
from lanternpipe.records import Records, TopicPartition, wire_bytes
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.hops import has_hopped, unwrapped
from lanternpipe.runtime.outputs import RECORD_OVERHEAD_BYTES
from lanternpipe.runtime.plan import Plan
from lanternpipe.settings import Settings
from lanternpipe.telemetry.sampling import parsed, written
from lanternpipe.telemetry.traces import RecordTracer
from lanternpipe.testing.doubles import LogBook
from lanternpipe.testing.fake_broker import flatten
from lanternpipe.topology import dead_letter_bytes
from logins.pipeline import pipeline
from logins.transform import Settings as LoginSettings

NOW = 1_729_741_923
REASONS = {"tombstone", "empty", "undecodable", "invalid"}
MARKS = "words.dlq.marks"
LIMITS = {
    pipeline.output.name: pipeline.output.max_bytes,
    "user-login.dlq": dead_letter_bytes(pipeline),
}


def an_event_or_a_reason(codec: JsonCodec[Any], value: bytes | None) -> Reject | None:
    """Decode a value: an event that can be encoded again, or a reason that is short and known."""
    try:
        event = codec.decode(value)
    except Exception as error:  # noqa: BLE001  # as the planner does
        why = codec.explain(value, error)
        assert why.reason in REASONS
        assert all(told is None or len(told) < 200 for told in (why.field, why.limit))
        return why
    assert isinstance(codec.encode(event), bytes)
    return None


def logins_planner() -> Planner:
    """Return what plans the real pipeline, with dead letters in all dialects."""
    settings = Settings.model_validate(
        {"deadletter": {"dialects": "spring,connect", "detail": "full"}}
    )
    return build_planner(settings, pipeline, LogBook(), chance=lambda: 0.5)


def one_outcome_each(planner: Planner, records: Records) -> Plan:
    """Plan a run as the loop does: each record has one outcome, and all that is sent fits."""
    tracer = RecordTracer(
        ratio=0.5,
        group="g",
        resource=Resource({}),
        emit=lambda span: span.to_json(),
        per_second=100,
        rng=random.Random(1),
    )
    run = tracer.begin(unwrapped(records) if has_hopped(records) else records)
    plan = planner.plan(run.records, Context(NOW, LoginSettings()), failed=run.failed)
    failures = {offset: (cause.kind, cause.stage) for offset, cause in plan.failures()}
    run.end(failures, NOW, (NOW, NOW), len(records))
    letters = plan.dead_lettered.total()
    assert plan.held is None
    assert plan.processed + plan.filtered.total() + letters == len(records)
    assert len(failures) == letters
    sent = [each for batch in plan.outgoing for each in flatten(batch)]
    assert sum(each.topic == "user-login.dlq" for each in sent) == letters
    for each in sent:
        size = len(each.key or b"") + len(each.value or b"") + wire_bytes(each.headers or [])
        assert size + RECORD_OVERHEAD_BYTES <= LIMITS[each.topic]
        _as_the_client_takes_them(each.headers or [])
    return plan


def a_context_or_none(traceparent: bytes | str | None) -> None:
    """Read a ``traceparent``: none, or ids as they may be, which are written as they were read."""
    parent = parsed(traceparent)
    if parent is not None:
        assert 0 < parent.trace_id < 2**128
        assert 0 < parent.span_id < 2**64
        again = parsed(written(parent.trace_id, parent.span_id))
        assert again is not None
        assert again[:2] == parent[:2]


def a_letter_is_read(letter: Letter, mark: bytes | None = None) -> None:
    """Look at a letter as all commands do: it can be shown without harm, and replayed or not."""
    marks = Marks()
    if mark is not None:
        at = TopicPartition(MARKS, 0)
        marks.read([Records(at, [0], [key_of(letter.place)], [mark], [0])])
    explain = explainer(pipeline)
    glance = dlq_peek.look([letter], marks, explain, most=1, oldest=False, marked_too=True)
    for show in (False, True):
        json.dumps(dlq_peek.as_json(glance, show=show))
        _harmless(dlq_peek.as_text("dlq", glance, marked_too=True, show=show))
    stats = dlq_stats.count([letter], marks, NOW, marked_too=True)
    json.dumps(stats.as_json())
    _harmless(dlq_stats.as_table("dlq", stats, marked_too=True))
    order = Order("user-login.replay", again=True)
    if obstacle(letter, marks.of(letter), order) is None:
        (headers,) = records_to_write(order.to, [Ready(letter, letter.value, 1)]).headers or []
        _as_the_client_takes_them(headers or [])
        assert not [name for name, _ in headers or () if name.startswith(f"{PREFIX}error")]


def settings_or_a_sentence(given: Mapping[str, str]) -> Settings | str:
    """Load settings: all can be built from them, or a sentence names the variable at fault."""
    kept = {name: value for name, value in os.environ.items() if name[:9] != "PIPELINE_"}
    with patch.dict(os.environ, {**kept, "PIPELINE_INSTANCE": "", **given}, clear=True):
        try:
            settings = load_settings()
            load_app_settings(LoginSettings)
            build_planner(settings, pipeline, LogBook())
            build_breaker(settings)
            consumer_config(settings.kafka, instance=settings.instance)
            transactional_config(settings.kafka, transactional_id="t")
        except ConfigError as error:
            told = str(error)
        else:
            return settings
    names = [name.encode("utf-8", "backslashreplace").decode().upper() for name in given]
    assert any(_is_named(name, told.upper()) for name in names), told
    return told


def _is_named(name: str, told: str) -> bool:
    """Tell whether a variable, or a group above it, is named; a relation leaves the group out."""
    groups = re.findall(r"PIPELINE_[A-Z]\w*", told)
    return any(name.startswith(each) for each in groups) or name.rpartition("__")[2] in told


def _as_the_client_takes_them(headers: list[tuple[str, bytes | None]]) -> None:
    for name, content in headers:
        assert isinstance(name.encode(), bytes)
        assert content is None or type(content) is bytes


def _harmless(renderable: Any) -> None:
    """Fail where a terminal would get what it acts upon."""
    shown = io.StringIO()
    Console(file=shown, width=400).print(renderable)
    assert not [each for each in shown.getvalue() if not (each.isprintable() or each == "\n")]
