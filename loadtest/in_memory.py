"""A processor for a broker in memory.

`lanternpipe process` asks its broker about rights and settings before it begins, and such a broker
answers no such question.
"""

from __future__ import annotations

from lanternpipe.app import load_pipeline
from lanternpipe.assembly import build_processor
from lanternpipe.environment import load_settings
from lanternpipe.runtime.lifecycle import StopRequest

CLOSE_SECONDS = 2.0


def main() -> None:
    """Process until asked to stop."""
    settings = load_settings()
    app = build_processor(settings, load_pipeline(settings.app), lambda *_, **__: None)
    stop = StopRequest(settings.shutdown_grace)
    with stop.on_signals():
        try:
            app.processor.run(stop)
        finally:
            app.committer.close(CLOSE_SECONDS)


if __name__ == "__main__":
    main()
