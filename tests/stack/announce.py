"""Says, before the tests, which real programs they will use; under CI they must be there."""

import os
import sys

from tests.deploy.compose import is_installed
from tests.stack.install import (
    ACTIONLINT,
    COMPONENTS,
    COMPOSE,
    NoComponentError,
    cached,
    describe,
)


def main() -> int:
    """Build what is not there yet, print a line for each server; return the exit code."""
    missing = False
    tools = [ACTIONLINT] if is_installed() else [ACTIONLINT, COMPOSE]
    for component in (*COMPONENTS, *tools):
        named = os.environ.get(component.variable)
        if not named and not cached(component, os.environ).is_dir():
            print(f"{component.name}: building (once, some minutes)", flush=True)
        try:
            print(describe(component), flush=True)
        except NoComponentError as error:
            missing = True
            print(f"{component.name}: none. {error}", flush=True)
    if missing and os.environ.get("CI"):
        return 1
    if missing:
        print("Tests of the stack will be skipped; under CI=true that is a failure.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
