"""Lets a fuzzer loose on one target: ``python -m tests.hostile letter FOLDER -max_total_time=600``.

Needs atheris. The folder keeps what was found interesting; a file in place of it is run once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

# These alone: with all that they import, it would take a minute to begin.
with atheris.instrument_imports(include=["lanternpipe", "logins"]):
    from tests.hostile.fuzz import SEEDS, TARGETS


def main() -> None:
    """Fuzz the target that is named first, with the rest for libFuzzer."""
    program, name, place, *rest = sys.argv
    if not Path(place).is_file():
        Path(place).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS):
            Path(place, f"seed-{number}").write_bytes(seed)
    atheris.Setup([program, *rest, place], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
