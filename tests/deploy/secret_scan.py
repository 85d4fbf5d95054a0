"""Looks for secrets in all files that are committed: ``python -m tests.deploy.secret_scan``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[2]
# These take every checksum for a secret, and our files are full of those.
BY_ENTROPY = {"Base64HighEntropyString", "HexHighEntropyString"}
# What names a secret and is none. None of them asks anybody whether a secret is valid.
FILTERS = [
    "allowlist.is_line_allowlisted",
    "heuristic.is_indirect_reference",
    "heuristic.is_not_alphanumeric_string",
    "heuristic.is_sequential_string",
    "heuristic.is_templated_secret",
]
# A mount reads like a name and its value.
MOUNT = {"path": "detect_secrets.filters.regex.should_exclude_line", "pattern": [":/secrets:ro"]}


def committed() -> list[Path]:
    """Return the files that git knows; all that are there where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def found(files: Iterable[Path]) -> list[str]:
    """Return place and kind of each secret, and never the secret itself."""
    kinds: dict[str, type[Any]] = get_mapping_from_secret_type_to_class()
    plugins = {kind.__name__ for kind in kinds.values()}
    config = {
        "plugins_used": [{"name": name} for name in sorted(plugins - BY_ENTROPY)],
        "filters_used": [
            *({"path": f"detect_secrets.filters.{name}"} for name in FILTERS),
            MOUNT,
        ],
    }
    secrets = SecretsCollection()
    with transient_settings(config):
        for file in files:
            secrets.scan_file(str(file))
    places = sorted((name, secret.line_number, secret.type) for name, secret in secrets)
    return [f"{name}:{line}: {kind}" for name, line, kind in places]


def main() -> int:
    """Print what was found; return the exit code."""
    places = found(committed())
    print(*places, sep="\n", end="\n" if places else "")
    print("secrets: none" if not places else "a line with `pragma: allowlist secret` holds none")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
