"""Log lines by structlog: JSON on standard output, readable on a terminal, times in UTC."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from lanternpipe.ports import Log
from lanternpipe.settings import LogSettings


def open_log(settings: LogSettings, *, service: str, stream: TextIO | None = None) -> Log:
    """Return what writes log lines, without touching any global configuration.

    Args:
        settings: Level and format.
        service: Which program speaks, as ``service`` in every line.
        stream: Where to; standard output by default.
    """
    out = stream or sys.stdout
    console = settings.format == "console" or (settings.format == "auto" and out.isatty())
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        _without_none,
    ]
    if console:
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty()))
    else:
        processors.append(structlog.processors.JSONRenderer())
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelName(settings.level.upper())
        ),
        cache_logger_on_first_use=True,
    )
    bound = logger if console else logger.bind(service=service)

    def log(level: str, event: str, **fields: Any) -> None:
        getattr(bound, level)(event, **fields)

    return log


def _without_none(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if value is not None}
