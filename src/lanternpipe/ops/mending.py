"""``--mend MODULE:FUNCTION``: a user's function that corrects a letter's value on its way back."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, cast

from lanternpipe.errors import ConfigError, LanternpipeError
from lanternpipe.letter import Letter

Mend: TypeAlias = Callable[[Letter], bytes | None]
"""Returns the value to be replayed, or None to leave a letter alone."""


def load_mend(name: str) -> Mend:
    """Import the function by ``module:function``; the module may be a file in this folder.

    Raises:
        ConfigError: There is none by that name.
    """
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"--mend {name}: {error}; give MODULE:FUNCTION") from error
    if not callable(found):
        raise ConfigError(f"--mend {name}: is no function")
    return cast("Mend", found)


def mended(mend: Mend, letter: Letter) -> bytes | None:
    """Return what a user's function makes of a letter's value.

    Raises:
        LanternpipeError: It failed; told without its text, which may hold values.
    """
    try:
        value = mend(letter)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise LanternpipeError(
            f"--mend: {type(error).__qualname__} at {frame.filename}:{frame.lineno} for "
            f"{letter.place}; its transaction was not begun. Correct the function and run the "
            "command again: it goes on there"
        ) from error
    if value is not None and not isinstance(value, bytes):
        raise LanternpipeError(
            f"--mend: returned {type(value).__qualname__} for {letter.place}; it must return the "
            "new value as bytes, or None to leave the letter alone"
        )
    return value
