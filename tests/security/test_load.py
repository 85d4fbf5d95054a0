"""A load comes in as everybody does: by TLS and login."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_load import HOLDS, LIMITS, report_in, run
from tests.security.broker import SecuredBroker

pytestmark = pytest.mark.kafka
USER = "observer"
KINDS = ("TOPIC", "GROUP", "TRANSACTIONAL_ID")


@pytest.mark.parametrize("mode", ["tls", "scram"])
def test_secured_load(secured: SecuredBroker, tmp_path: Path, mode: str) -> None:
    """Generator, reader and pipeline use the security settings, and every record arrives."""
    granted = KINDS if mode == "scram" else ()  # encryption alone asks nobody who he is
    for kind in granted:
        secured.grant(USER, "ALL", kind, "*")
    try:
        settings = {
            f"PIPELINE_{name}": value for name, value in secured.settings(mode, USER).items()
        }
        code, told = run("smoke", "--rate", "100", "--seconds", "8", out=tmp_path, **settings)
    finally:
        for kind in granted:
            secured.revoke(USER, "ALL", kind, "*")
    assert code in {HOLDS, LIMITS}, told
    made = report_in(tmp_path)
    assert mode in made["where"]
    assert made["account"]["sent"] == made["account"]["seen"] > 400
    assert secured.password(USER) not in told + "".join(
        file.read_text(errors="replace") for file in tmp_path.iterdir()
    )
