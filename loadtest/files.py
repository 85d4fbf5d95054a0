"""Files by which Locust tells who has started it how a run goes."""

from typing import Final

STARTED: Final = "started.json"
PROGRESS: Final = "progress.txt"
RESULT: Final = "result.json"
