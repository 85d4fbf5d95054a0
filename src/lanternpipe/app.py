"""The composition root: settings and the user's pipeline in, running parts out."""

from __future__ import annotations

import importlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from lanternpipe.assembly import ProcessorApp, build_processor
from lanternpipe.codec.json import JsonCodec
from lanternpipe.errors import (
    ConfigError,
    LanternpipeError,
    RefusedFailure,
    Reject,
    RetriableFailure,
)
from lanternpipe.kafka.entry import PATIENCE, Access, check_access, wait_for_broker, why_not
from lanternpipe.kafka.rotation import LOOK_SECONDS
from lanternpipe.kafka.topics import verify
from lanternpipe.pipeline import Pipeline
from lanternpipe.ports import Log
from lanternpipe.publish import log_samples, span_samples
from lanternpipe.runtime.beside import repeatedly
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.lifecycle import StopRequest
from lanternpipe.runtime.stall import watched_transform
from lanternpipe.runtime.watermarks import HIGH_EVERY
from lanternpipe.settings import Settings
from lanternpipe.telemetry.catalogue import LINKS_OMITTED
from lanternpipe.telemetry.logs import PipelineLog
from lanternpipe.telemetry.metrics import Sample, open_metrics
from lanternpipe.telemetry.setup import traces
from lanternpipe.topology import declared_topics, topic_names

LEAVE_SECONDS = 3.0
ACCESS_EVERY = 1.0  # seconds between questions what we may do
ASK_WHY_EVERY = 5.0  # seconds between questions why no broker can be reached


def load_pipeline(name: str) -> Pipeline[Any, Any]:
    """Import the user's pipeline: a package that has ``pipeline.py``, or ``module:name``.

    Raises:
        ConfigError: There is none by that name.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute:
        module_name, attribute = f"{name}.pipeline", "pipeline"
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ModuleNotFoundError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"PIPELINE_APP: {name!r} has no pipeline ({error}); give a package with a module "
            "`pipeline`, or `module:name`"
        ) from error
    if not isinstance(found, Pipeline):
        raise ConfigError(f"PIPELINE_APP: {module_name}.{attribute} is not a lanternpipe.Pipeline")
    return found


def explainer(pipeline: Pipeline[Any, Any]) -> Callable[[bytes | None], Reject | None]:
    """Return what says why a value is no event of the input topic; None if it is one."""
    codec = JsonCodec(pipeline.input.event)

    def explain(value: bytes | None) -> Reject | None:
        try:
            codec.decode(value)
        except Exception as error:  # noqa: BLE001  # the user's own types may raise anything
            return codec.explain(value, error)
        return None

    return explain


def process(settings: Settings, pipeline: Pipeline[Any, Any], log: PipelineLog) -> None:
    """Run a processor until the process is asked to stop.

    Raises:
        LanternpipeError: It cannot start or cannot go on; the message says why.
    """
    with ExitStack() as stack:
        signals = settings.telemetry
        told = stack.enter_context(traces(signals, "lanternpipe-processor", log))
        tracer = told.of_records(settings.kafka.group_id) if told else None
        app = build_processor(settings, pipeline, log, tracing=tracer)

        def stop_asked() -> None:
            app.health.stopping()
            log("info", "stopping")

        def shown() -> Iterator[Sample]:
            if "metrics" in signals:
                yield from app.samples()
                yield from log_samples(log)
                if told and tracer:
                    yield from span_samples(told.spans, tracer.capped)
                    yield Sample(LINKS_OMITTED, tracer.links_omitted)

        stop = StopRequest(settings.shutdown_grace, stop_asked)
        stack.enter_context(stop.on_signals())
        render = open_metrics(shown)
        http = settings.http
        port = stack.enter_context(serve(http, app.health, render, log))
        log(
            "info",
            "processor_starting",
            app=settings.app,
            brokers=settings.kafka.bootstrap_servers,
            group=settings.kafka.group_id,
            delivery=settings.delivery,
            instance=settings.instance,
            metrics=http.metrics_url(port),
        )
        if not wait_for_topics(settings, pipeline, log, stop, beat=app.health.beat):
            log("info", "stopped", consumed=0)
            return
        stack.enter_context(app.lag.running())
        stack.enter_context(repeatedly(app.rotation.look, LOOK_SECONDS, "rotation"))
        ask_why = partial(_ask_why, settings, app)
        stack.enter_context(repeatedly(ask_why, ASK_WHY_EVERY, "entry"))
        stack.enter_context(
            watched_transform(lambda: app.planner.progress, settings.stall_after, time.monotonic)
        )
        if "metrics" in signals:
            stack.enter_context(repeatedly(app.watermarks.refresh, HIGH_EVERY, "watermarks"))
        try:
            app.processor.run(stop)
        except LanternpipeError as error:
            app.health.fatal(str(error))
            # In a thread: the very client that failed may also hang.
            leaving = threading.Thread(target=app.processor.leave, daemon=True)
            leaving.start()
            leaving.join(LEAVE_SECONDS)
            raise
        finally:
            app.committer.close(timeout=2.0)
    # Last of all, behind what the end of the traces has to say.
    outcomes = app.processor.work.outcomes
    log("info", "stopped", consumed=outcomes.consumed, **outcomes.totals())


def _ask_why(settings: Settings, app: ProcessorApp) -> None:
    """Where the loop stands still, or is said to be refused, find out whether we are.

    Of a certificate that has run out the client says no more than that it is cut off; and a call
    that waits for a coordinator behind a login that fails goes on beyond its time-out.
    """
    health, deadline = app.health, app.deadline
    if not (health.waits or health.refusal) and deadline.waited() < ASK_WHY_EVERY:
        return
    with suppress(ConfigError):  # a file is just being replaced
        if denial := why_not(settings.kafka):
            health.refused(*denial)
            deadline.excuse()
        else:
            health.let_in()


def processor_access(settings: Settings, pipeline: Pipeline[Any, Any]) -> Access:
    """Return what a processor has to be allowed to do with topics."""
    names = topic_names(settings, pipeline)
    also = (topic.name for topic in pipeline.also)
    return Access(names.sources, [names.output, names.dead_letters, *names.retries, *also])


def wait_for_topics(
    settings: Settings,
    pipeline: Pipeline[Any, Any],
    log: Log,
    stopping: Callable[[], bool],
    *,
    beat: Callable[[], None] = lambda: None,
    sent_to: str | None = None,
) -> bool:
    """Wait for a broker and verify the topics on it; False if asked to stop before.

    Args:
        settings: What is in force.
        pipeline: The user's.
        log: Writes log lines.
        stopping: Whether to give up.
        beat: Called at every attempt.
        sent_to: The one topic that a producer needs; by default all that a processor does.

    Raises:
        TopicError: A topic is missing.
        RefusedFailure: No broker lets us in, or we may not do what we have to.
    """
    declared = declared_topics(settings, pipeline)
    access = Access((), [sent_to]) if sent_to else processor_access(settings, pipeline)
    wanted = [each for each in declared if each.name in {*access.reads, *access.writes}]
    refused_until = math.inf
    while True:
        admin = wait_for_broker(settings.kafka, log=log, stopping=stopping, beat=beat)
        if admin is None:
            return False
        try:
            check_access(admin, access)
            warnings = verify(admin, wanted)
        except RetriableFailure:
            continue  # it has just gone away; said once by the next wait
        except RefusedFailure as failure:
            if time.monotonic() > refused_until or stopping():
                raise
            if refused_until == math.inf:
                log("error", "access_refused", code=failure.code, reason=failure.message)
                refused_until = time.monotonic() + PATIENCE
            time.sleep(ACCESS_EVERY)
            continue
        for warning in warnings:
            log("warning", "topic_differs", text=warning)
        return True
