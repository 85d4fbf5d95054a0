"""The way of spans out of the process: a bounded queue and a thread; nobody waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lanternpipe.ports import Log

QUEUE_SPANS = 2_048
BATCH_SPANS = 512
EVERY_SECONDS = 1.0
HINT = "set OTEL_EXPORTER_OTLP_ENDPOINT, or PIPELINE_TELEMETRY__SIGNALS=metrics,logs for no traces"


class SpanQueue:
    """Hands spans to an exporter.

    The SDK's own batch processor drops spans without telling how many, and keeps the process from
    ending while a Collector is away; so there is this one.

    Args:
        exporter: Sends a batch, waiting and trying again as it thinks fit.
        log: Told once when spans are lost, and once when they are delivered again.
        every: Seconds for which spans are collected before they are handed on.
        endpoint: Where the exporter sends them, for the log.

    Attributes:
        exported: Spans that were delivered.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        log: Log,
        *,
        every: float = EVERY_SECONDS,
        endpoint: str = "",
    ) -> None:
        self.exported = 0
        self._endpoint = endpoint
        # Apart, as each is counted by another thread.
        self._refused = self._undelivered = 0
        self._exporter = exporter
        self._log = log
        self._every = every
        self._queue: queue.Queue[ReadableSpan] = queue.Queue(QUEUE_SPANS)
        self._closing = threading.Event()
        self._away = self._losing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans that were lost, because the queue was full or the exporter gave up."""
        return self._refused + self._undelivered

    def __call__(self, span: ReadableSpan) -> None:
        """Take a span; dropped if the queue is full."""
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            self._refused += 1
            # Here and not after the export: a slow Collector may hold that up for minutes.
            self._tell_loss()

    def close(self, timeout: float) -> None:
        """Deliver what waits, for at most so many seconds; not if nothing is delivered anyway."""
        self._closing.set()
        self._thread.join(0.0 if self._away else timeout)
        if self._thread.is_alive():
            # Ends an attempt that waits for its next try; what is left goes down with us.
            threading.Thread(target=self._exporter.shutdown, daemon=True).start()

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()
            batch = self._take()
            if batch:
                self._export(batch)
            elif closing:
                return

    def _take(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        until = time.monotonic() + self._every
        while len(batch) < BATCH_SPANS:
            wait = 0.0 if self._closing.is_set() else until - time.monotonic()
            try:
                batch.append(self._queue.get(wait > 0, max(wait, 0.01) if wait > 0 else None))
            except queue.Empty:
                if wait <= 0:
                    break
        return batch

    def _export(self, batch: list[ReadableSpan]) -> None:
        refused = self._refused
        try:
            delivered = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001  # an exporter must not end the thread
            delivered = False
        self._away = not delivered
        if not delivered:
            self._undelivered += len(batch)
            self._tell_loss()
            return
        self.exported += len(batch)
        if self._losing and self._refused == refused:
            self._losing = False
            self._log("info", "traces_delivered_again", dropped=self.dropped)

    def _tell_loss(self) -> None:
        if not self._losing:
            self._losing = True
            self._log(
                "warning",
                "traces_not_delivered",
                dropped=self.dropped,
                endpoint=self._endpoint,
                hint=HINT,
            )


def quiet_exporter(log: Callable[[str], None]) -> None:
    """Let the exporter's own lines go to ``log``: it writes one per attempt to standard error."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_Forward(log)]


class _Forward(logging.Handler):
    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log(record.getMessage())
