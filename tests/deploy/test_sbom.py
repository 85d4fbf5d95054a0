"""The bill of materials is that of the lock file, and readable to other tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements/sbom.py"
LOCK = ROOT / "requirements/runtime.lock"


def written(folder: Path, name: str = "sbom.json") -> str:
    """Return what the script writes."""
    file = folder / "build" / name
    subprocess.run([sys.executable, SCRIPT, file], check=True, timeout=60)
    return file.read_text()


@pytest.fixture(name="text", scope="module")
def _text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("sbom"))


@pytest.fixture(name="bill")
def _bill(text: str) -> dict[str, Any]:
    bill: dict[str, Any] = json.loads(text)
    return bill


def test_it_is_valid(text: str) -> None:
    """It is CycloneDX 1.6 by its strict schema, which does refuse what is not."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"SHA-256"', '"SHA-255"')) is not None


def test_it_holds_all_that_is_locked(bill: dict[str, Any]) -> None:
    """Every pinned package is a component with its version and all hashes of the lock, no more."""
    told = {
        (each["name"], each["version"]): {
            one["content"] for one in each["externalReferences"][0]["hashes"]
        }
        for each in bill["components"]
    }
    parts = re.split(r"^(?=\S)", LOCK.read_text(), flags=re.MULTILINE)
    locked = {}
    for part in filter(None, parts):
        name, _, rest = part.partition("==")
        locked[name.split("[")[0], rest.split()[0]] = set(re.findall(r"sha256:([0-9a-f]+)", part))
    assert told == locked
    assert all(told.values())
    (all_of_them,) = [each for each in bill["dependencies"] if each["ref"] == "lanternpipe"]
    assert len(all_of_them["dependsOn"]) == len(locked)


def test_licences_are_told(bill: dict[str, Any]) -> None:
    """Every package that is installed here tells its licence by a name of SPDX."""
    unknown = [
        each["name"]
        for each in bill["components"]
        if not any(
            "expression" in one or "id" in one["license"] for one in each.get("licenses", ())
        )
    ]
    # Installed on other systems or other Pythons only.
    conditional = set(re.findall(r"^([\w.-]+)==\S+ ;", LOCK.read_text(), re.MULTILINE))
    assert set(unknown) <= conditional


def test_it_can_be_compared(text: str, tmp_path: Path) -> None:
    """The same lock gives the same bill, and no address of an index is in it."""
    assert written(tmp_path) == text
    assert not re.search(r"https?://(?!cyclonedx\.org)", text)


@pytest.mark.parametrize("name", ["release", "image"])
def test_it_is_published(name: str) -> None:
    """What is released, and each image, goes with its bill."""
    text = (ROOT / f".github/workflows/{name}.yml").read_text()
    assert "make sbom" in text
    assert "sbom.json" in text
