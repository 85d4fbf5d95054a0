"""The arrows between packages, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
LONGEST_FILE = 400
TABLES = {"lanternpipe/telemetry/catalogue.py"}
PUBLIC = "lanternpipe"

# What each part may import of Lanternpipe besides itself. Parts are packages and root modules.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "certificates": set(),
    "records": set(),
    "headers": set(),
    "pipeline": set(),
    "letter": {"headers", "records"},
    "arguments": {"records"},
    "ports": {"measures", "records"},
    "measures": set(),
    "settings": {"errors"},
    "environment": {"errors", "settings"},
    "codec": {"errors"},
    "runtime": {"errors", "headers", "measures", "ports", "records", "pipeline", "version"},
    "kafka": {"certificates", "settings", "errors", "ports", "records"},
    "telemetry": {"errors", "headers", "measures", "ports", "records", "settings", "version"},
    "producer": {
        "codec",
        "environment",
        "errors",
        "kafka",
        "pipeline",
        "ports",
        "records",
        "settings",
        "telemetry",
    },
    "topology": {"errors", "kafka", "pipeline", "settings"},
    "access": {"errors", "kafka", "pipeline", "settings", "topology"},
    "ops": {
        "certificates",
        "environment",
        "errors",
        "headers",
        "kafka",
        "letter",
        "ports",
        "records",
        "settings",
        "telemetry",
    },
    "__init__": {"errors", "letter", "pipeline", "producer", "version"},
    "publish": {"kafka", "measures", "records", "runtime", "telemetry", "version"},
    "exit_codes": {"errors"},
    "__main__": {"cli"},
}
# The composition roots may import what they compose, but for these.
NOT_EVEN_ROOTS = {"cli", "testing"}
# Who may import a client of Kafka.
KAFKA_PARTS = {"kafka", "testing"}


def sources(package: str) -> list[Path]:
    """Return the source files of a package."""
    found = sorted((SRC / package).rglob("*.py"))
    assert found
    return found


def part_of(path: Path) -> str:
    """Return which part of Lanternpipe a file belongs to."""
    first = path.relative_to(SRC / "lanternpipe").parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a file imports, at whatever level."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path: Path) -> set[str]:
    """Return the parts of Lanternpipe that a file imports, besides its own."""
    parts = {
        name.split(".")[1] if "." in name else "__init__"
        for name in imports(path)
        if name.split(".")[0] == "lanternpipe"
    }
    return parts - {part_of(path)}


def name_of(path: Path) -> str:
    """Return a file's name as it is shown."""
    return str(path.relative_to(SRC))


LANTERNPIPE = sources("lanternpipe")
LOGINS = sources("logins")


@pytest.mark.parametrize("path", LANTERNPIPE, ids=name_of)
def test_arrows(path: Path) -> None:
    """Each part imports only those below it."""
    part = part_of(path)
    if part in ARROWS:
        assert imported_parts(path) <= ARROWS[part]
    else:
        assert part in {"app", "assembly", "cli", "demo", "produce", "testing", "witness"}, (
            f"{part} has no arrows yet"
        )
        assert not imported_parts(path) & NOT_EVEN_ROOTS


def test_only_roots_import_the_composition() -> None:
    """``app`` is imported by the command line and the demo, the command line by nobody."""
    users = {part_of(path) for path in LANTERNPIPE if "app" in imported_parts(path)}
    assert users <= {"cli", "demo", "produce", "witness"}


@pytest.mark.parametrize("path", LANTERNPIPE + LOGINS, ids=name_of)
def test_one_package_knows_the_client(path: Path) -> None:
    """Only ``lanternpipe.kafka``, and what tests users' code, imports confluent_kafka."""
    if any(name.split(".")[0] == "confluent_kafka" for name in imports(path)):
        assert name_of(path).startswith("lanternpipe/")
        assert part_of(path) in KAFKA_PARTS


def test_one_module_needs_pytest() -> None:
    """Nothing that runs in production, and no drill, needs pytest: only its fixtures do."""
    users = {
        name_of(path)
        for path in LANTERNPIPE
        if any(name.split(".")[0] in {"pytest", "_pytest"} for name in imports(path))
    }
    assert users == {"lanternpipe/testing/fixtures.py"}


@pytest.mark.parametrize("path", LANTERNPIPE, ids=name_of)
def test_nobody_imports_user_code(path: Path) -> None:
    """The user's package is loaded by name and never imported."""
    assert not [name for name in imports(path) if name.split(".")[0] == "logins"]


@pytest.mark.parametrize("path", LOGINS, ids=name_of)
def test_user_code_imports_public_names_only(path: Path) -> None:
    """The user's package imports of Lanternpipe what ``lanternpipe`` itself exports."""
    public = ast.literal_eval(
        next(
            node.value
            for node in ast.parse((SRC / PUBLIC / "__init__.py").read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
    )
    used = {name for name in imports(path) if name.split(".")[0] == PUBLIC}
    assert used <= {f"{PUBLIC}.{name}" for name in public}


@pytest.mark.parametrize("path", LANTERNPIPE + LOGINS, ids=name_of)
def test_files_are_short(path: Path) -> None:
    """One concept a file: none is long, but for tables."""
    assert name_of(path) in TABLES or len(path.read_text().splitlines()) <= LONGEST_FILE
