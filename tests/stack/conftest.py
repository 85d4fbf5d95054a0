"""What all tests of the stack share."""

import os
from pathlib import Path

import pytest

from tests.stack.install import COMPONENTS, NoComponentError, binary

HERE = Path(__file__).parent
TEST_SECONDS = 180


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, whose time begins when the servers have been built."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


@pytest.fixture(name="_components", scope="session", autouse=True)
def _components_fixture() -> None:
    """Have the real servers, or skip; under CI none is a failure."""
    try:
        for component in COMPONENTS:
            binary(component)
    except NoComponentError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
