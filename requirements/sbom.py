"""Writes the bill of materials of ``runtime.lock``: CycloneDX, with hashes and licences.

Usage: ``python requirements/sbom.py FILE``. The same lock file gives the same bill.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

FOLDER = Path(__file__).parent
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)(?: ; ([^\\\n]+))?", re.MULTILINE)
SHA_256 = HashAlgorithm.SHA_256
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# What older packages call their licences, by their classifiers, and what SPDX does.
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def components(lock: str) -> list[Component]:
    """Return what a lock file pins, with the hashes of every file that may be installed."""
    pins = [*PINNED.finditer(lock)]
    ends = [*(pin.start() for pin in pins[1:]), len(lock)]
    found = []
    for pin, end in zip(pins, ends, strict=True):
        name, version = pin[1], pin[2]
        url = PackageURL("pypi", None, name, version)
        hashes = HASH.findall(lock[pin.end() : end])
        found.append(
            Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=str(url),
                purl=url,
                description=f"Installed where {pin[3].strip()}" if pin[3] else None,
                licenses=map(LicenseFactory().make_from_string, licences(name)),
                external_references=[
                    ExternalReference(
                        type=ExternalReferenceType.DISTRIBUTION,
                        url=XsUri(str(url)),
                        hashes=[
                            HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes
                        ],
                    )
                ],
            )
        )
    return found


def licences(name: str) -> list[str]:
    """Return the licence that an installed package tells, if it does."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return []
    if "License-Expression" in told:
        return [told["License-Expression"]]
    classified = [
        SPDX.get(each.rpartition(" :: ")[2], each.rpartition(" :: ")[2])
        for each in told.get_all("Classifier") or ()
        if each.startswith("License ::") and each != "License :: OSI Approved"
    ]
    if classified:
        return classified[:1]
    text = told["License"].strip() if "License" in told else ""
    return [SPDX.get(text, text)] if text and "\n" not in text else []


def bill(lock: str) -> str:
    """Return the bill of materials of a lock file."""
    bom = Bom(components=components(lock))
    bom.metadata.component = Component(
        name="lanternpipe", type=ComponentType.APPLICATION, bom_ref="lanternpipe"
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    # Neither chance nor the time is in it, so that two bills can be compared.
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, lock)
    told = json.loads(JsonV1Dot6(bom).output_as_string())
    del told["metadata"]["timestamp"]
    return json.dumps(told, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the file that is named."""
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(bill((FOLDER / "runtime.lock").read_text()))


if __name__ == "__main__":
    main()
