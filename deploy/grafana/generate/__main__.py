"""Writes the dashboards, or says which of them are not as they would be written."""

import argparse
import sys
from pathlib import Path

from deploy.grafana.generate.board import as_json
from deploy.grafana.generate.boards import BOARDS

DASHBOARDS = Path(__file__).parents[1] / "dashboards"


def files() -> dict[str, str]:
    """Return all files as they should be."""
    return {board.file: as_json(board, BOARDS) for board in BOARDS}


def differing(folder: Path) -> list[str]:
    """Return the names of files that are missing, too many, or not as they should be."""
    wanted = files()
    found = {file.name: file.read_text() for file in folder.glob("*.json")}
    names = sorted(wanted.keys() | found.keys())
    return [name for name in names if wanted.get(name) != found.get(name)]


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    check = parser.parse_args().check
    differ = differing(DASHBOARDS)
    if check and differ:
        sys.stderr.write(f"not as generated: {', '.join(differ)}; run `make generate`\n")
        return 1
    if not check:
        for old in DASHBOARDS.glob("*.json"):
            old.unlink()
        for name, text in files().items():
            (DASHBOARDS / name).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
