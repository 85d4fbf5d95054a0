"""Parts for tests and benchmarks; the runtime never imports this package.

``Drill`` drives a pipeline with no broker; ``fixtures`` has those for pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lanternpipe.testing.drill import Drill
    from lanternpipe.testing.rig import DrillError

__all__ = ["Drill", "DrillError"]


# Imported when first asked for: who only wants a real broker need not load the rest.
_HOMES = {"Drill": "drill", "DrillError": "rig"}


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
