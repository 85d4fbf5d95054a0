"""What the tests of deploy/ share."""

import os
from typing import Any

import pytest

from tests.deploy import compose
from tests.stack.install import NoComponentError

FILES = {"open": (), "secured": compose.SECURE}


@pytest.fixture(name="files", scope="session", params=FILES)
def _files(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the arguments by which Compose reads the open stack, and then the secured one."""
    return FILES[request.param]


@pytest.fixture(name="project", scope="session")
def _project(files: tuple[str, ...]) -> dict[str, Any]:
    """Return the project as Docker Compose understood it, or skip; under CI that is a failure."""
    try:
        return compose.everything(*files)
    except NoComponentError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(name="services")
def _services(project: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    services: dict[str, dict[str, Any]] = project["services"]
    return services
