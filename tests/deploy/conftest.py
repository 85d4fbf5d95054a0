"""What the tests of deploy/ share."""

import os
from typing import Any

import pytest

from tests.deploy import compose
from tests.stack.install import NoComponentError


@pytest.fixture(name="project", scope="session")
def _project() -> dict[str, Any]:
    """Return the project as Docker Compose understood it, or skip; under CI that is a failure."""
    try:
        return compose.everything()
    except NoComponentError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(name="services")
def _services(project: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    services: dict[str, dict[str, Any]] = project["services"]
    return services
