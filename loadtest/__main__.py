"""`make load`: puts a load on the pipeline and tells how it bears it."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from pathlib import Path

from lanternpipe.app import load_pipeline
from lanternpipe.environment import load_settings
from lanternpipe.errors import LanternpipeError
from loadtest.profile import PROFILES, read_profile
from loadtest.report import markdown
from loadtest.run import LATEST, Options, run

EXIT_LIMITS, EXIT_FAILED = 1, 2
WEB_PORT = 8089
MOST_PORT = 65_536


def say(text: str) -> None:
    """Tell people how it goes."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run a profile; 0 if all limits hold, 1 if one does not, 2 if there was no run."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description=__doc__,
        epilog="example: python -m loadtest spike --rate 2000 --seconds 60",
    )
    parser.add_argument("profile", nargs="?", default="smoke", help=f"of {PROFILES.name}")
    parser.add_argument("--rate", type=int, help="records per second, in place of the profile's")
    parser.add_argument("--seconds", type=float, help="length, in place of the profile's")
    parser.add_argument("--processors", type=int, help="how many, in place of the profile's")
    parser.add_argument("--processes", type=int, default=0, help="workers of Locust that send")
    parser.add_argument(
        "--web",
        type=int,
        nargs="?",
        const=WEB_PORT,
        metavar="PORT",
        help="wait for you at Locust's web page, and start there",
    )
    parser.add_argument(
        "--out", type=Path, default=LATEST, metavar="FOLDER", help="where the report goes"
    )
    options = parser.parse_args()
    if options.processes < 0:
        parser.error("--processes is 0, for one process that does all, or how many send")
    if options.web is not None and not 0 < options.web < MOST_PORT:
        parser.error(f"--web is a port from 1 to {MOST_PORT - 1}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then nothing is left behind
    try:
        profile = read_profile(
            options.profile,
            rate=options.rate,
            seconds=options.seconds,
            processors=options.processors,
        )
        settings = load_settings()
        pipeline = load_pipeline(settings.app)
        folder = options.out.resolve()
        asked = Options(options.profile, profile, folder, options.processes, options.web, say)
        made = run(settings, pipeline, asked)
    except LanternpipeError as error:
        say(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED
    except Exception:  # noqa: BLE001  # of ours, or the machine's: not to be taken for a limit
        traceback.print_exc()
        return EXIT_FAILED
    print(markdown(made))
    say(f"written: {options.out}/report.html, report.svg, report.md, report.json")
    return 0 if made.holds else EXIT_LIMITS


if __name__ == "__main__":
    sys.exit(main())
