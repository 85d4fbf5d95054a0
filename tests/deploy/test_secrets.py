"""No secret is committed, and one that is would be found."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from tests.deploy.secret_scan import committed, found

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Put together here, or this file would be found.
RANDOM = random.Random(1)
SECRETS = {
    "AWS Access Key": "AKIA" + "".join(RANDOM.choices(LETTERS, k=16)),
    "GitHub Token": "ghp_" + "".join(RANDOM.choices(LETTERS, k=36)),
    "Private Key": "-----BEGIN " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "https://admin:" + "hunter2hunter2" + "@example.com",
    "Secret Keyword": 'PIPELINE_KAFKA__PASSWORD = "' + "x7Jk2mPq9w" + '"',
    "JSON Web Token": ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890"}', b"\x01\x02\x03" * 9)
    ),
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("name", ["settings.py", "compose.yaml", ".env", "README.md"])
def test_a_planted_secret_is_found(tmp_path: Path, kind: str, name: str) -> None:
    """A secret is found by its kind in whatever file it is, and is not printed."""
    file = tmp_path / name
    file.write_text(f"first: 1\n{SECRETS[kind]}\n")
    places = found([file])
    assert f"{file}:2: {kind}" in places
    assert SECRETS[kind] not in "".join(places)


def test_no_secret_is_committed() -> None:
    """The scan is clean, over all files there are."""
    files = committed()
    assert Path(__file__) in files or not files
    assert len(files) > 100
    assert found(files) == []
