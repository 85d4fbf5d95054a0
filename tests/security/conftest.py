"""The secured broker, and a pipeline on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.broker import SecuredBroker, secured_broker
from tests.security.issuer import Issuer, issuer


@pytest.fixture(name="issuer", scope="session")
def _issuer() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture(name="secured", scope="session")
def _secured(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """One secured broker for all tests; each takes names and users of its own where it matters."""
    with secured_broker(tmp_path_factory.mktemp("certificates"), issuer) as broker:
        yield broker
