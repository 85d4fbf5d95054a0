"""One run of a profile: deploys the pipeline, lets Locust send, does the faults, and reports."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil

from lanternpipe.errors import LanternpipeError
from lanternpipe.pipeline import Pipeline
from lanternpipe.settings import Settings
from loadtest.deployment import Broker, Deployment, Process, deployed, open_broker
from loadtest.files import PROGRESS, RESULT, STARTED
from loadtest.lanes import Account
from loadtest.page import page, picture
from loadtest.profile import Profile
from loadtest.report import Mark, Report, markdown, report
from loadtest.search import Found
from loadtest.tally import Tally
from loadtest.watching import Watch, family

LATEST = Path(__file__).with_name("reports") / "latest"
LEFT = (  # by a run
    *(f"report.{kind}" for kind in ("html", "svg", "md", "json")),
    *(f"{name}.log" for name in ("locust", "producer", "processor-[0-9]*")),
    *(f"{name}*" for name in (STARTED, PROGRESS, RESULT)),
)
READY_SECONDS = 60.0
END_SECONDS = 180.0  # beyond the length of a profile and twice its drain, for what it says
LOOK_SECONDS = 0.1
PROGRESS_SECONDS = 5.0
EMBEDDED_RATE = 1_000  # records per second: it keeps 5 MB a partition and drops what is older
EMBEDDED_PROFILES = ("smoke", "constant", "poison")


class LoadError(LanternpipeError):
    """A run could not be made; the message says why."""


@dataclass(frozen=True)
class Options:
    """What a run is asked for.

    Attributes:
        name: Of the profile.
        profile: The same.
        folder: Where the report goes, in place of what is there.
        processes: Workers of Locust; 0 for one process that does all.
        web: Whether to wait for people at Locust's web page; where, as a port.
        say: Tells people how it goes.
    """

    name: str
    profile: Profile
    folder: Path
    processes: int
    web: int | None
    say: Callable[[str], None]


def run(settings: Settings, pipeline: Pipeline[Any, Any], options: Options) -> Report:
    """Make a run and leave its report.

    Raises:
        LanternpipeError: It could not be made.
    """
    profile, say = options.profile, options.say
    folder = options.folder
    if options.web is not None and profile.faults:
        raise LoadError(
            f"profile {options.name!r} has faults, which are done by the clock: "
            "run it without --web"
        )
    say(f"{options.name}: {profile.words}")
    with alone_in(folder), open_broker(settings, pipeline) as broker:
        clear(folder)
        if broker.is_embedded:
            check_embedded(options)
        say(f"on {broker.words}; {settings.delivery}, {profile.processors} processor(s)")
        with deployed(broker, profile.processors, folder) as deployment:
            deployment.start()
            locust = generator(deployment, options)

            def named() -> dict[str, int | None]:
                own = {each.name: each.pid for each in deployment.all}
                broker_pid = os.getpid() if broker.is_embedded else broker.pid
                return {**own, "broker": broker_pid, **family(locust.pid)}

            watch = Watch(named)
            with watch.running():
                locust.start()
                start, marks = Conductor(deployment, locust, options, broker.pid).conduct()
    if watch.failure is not None:
        raise LoadError("nobody watched what processes use") from watch.failure
    return conclude(options, settings.delivery, broker, start, marks, watch, deployment.unwilling)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for the block; make it where there is none.

    Raises:
        LoadError: Another run writes there, or nobody can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise LoadError(f"--out {folder}: {error.strerror}: give a folder to write to") from error
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LoadError(
                f"--out {folder}: another run writes there; wait for it, or give another folder"
            ) from error
        yield
    finally:
        os.close(place)


def clear(folder: Path) -> None:
    """Remove from a folder what an earlier run has left, and nothing else.

    Raises:
        LoadError: It holds something else, and so was hardly meant.
    """
    there = set(folder.iterdir())
    ours = {path for name in LEFT for path in folder.glob(name) if path.is_file()}
    if strange := sorted(path.name for path in there - ours):
        raise LoadError(
            f"--out {folder} holds {strange[0]}, which is no part of a report: "
            "give a folder of its own"
        )
    for path in ours:
        path.unlink()


def check_embedded(options: Options) -> None:
    """Refuse what a broker in memory cannot bear: it would drop records without a word."""
    profile = options.profile
    if options.name not in EMBEDDED_PROFILES or profile.peak > EMBEDDED_RATE:
        raise LoadError(
            f"there is only a broker in memory here, which is a double: profiles "
            f"{', '.join(EMBEDDED_PROFILES)} up to --rate {EMBEDDED_RATE} can run on it. For the "
            "others install Java 17 and Maven, or Docker, or set PIPELINE_KAFKA__BOOTSTRAP_SERVERS"
        )


def generator(deployment: Deployment, options: Options) -> Process:
    """Return Locust, not yet started."""
    profile = options.profile
    arguments = ["-m", "locust", "-f", "loadtest/locustfile.py", "--skip-log-setup"]
    arguments += ["--load-profile", options.name, "--out", str(options.folder)]
    arguments += ["--rate", str(profile.rate), "--seconds", str(profile.seconds)]
    if options.processes:
        arguments += ["--processes", str(options.processes)]
    if options.web is None:
        arguments += ["--headless", "--only-summary"]
    else:
        arguments += ["--web-host", "127.0.0.1", "--web-port", str(options.web)]
    return deployment.process("locust", arguments)


class Conductor:
    """Sees a run through.

    Args:
        deployment: What is under load.
        locust: What sends.
        options: What is asked for.
        broker: The process of a broker that is ours.
    """

    def __init__(
        self, deployment: Deployment, locust: Process, options: Options, broker: int | None
    ) -> None:
        self._deployment, self._locust, self._options = deployment, locust, options
        self._broker = broker
        self._started, self._result = options.folder / STARTED, options.folder / RESULT
        self._said_at = 0.0
        profile = options.profile
        self._most_seconds = profile.seconds + 2 * profile.limits.drain_seconds + END_SECONDS

    def conduct(self) -> tuple[float, list[Mark]]:
        """Wait for the end, and do the faults; return when it began, and what was done when.

        Raises:
            LoadError: A process has ended too early, or something takes too long.
        """
        if self._options.web is not None:
            return self._at_the_page(self._options.web), []
        profile = self._options.profile
        self._until(self._started.exists, READY_SECONDS, "Locust to begin")
        start = self._begun()
        marks: list[Mark] = []
        for fault in sorted(profile.faults, key=lambda each: each.at):
            due = start + fault.at * profile.seconds
            self._until(partial(reached, due), self._most_seconds, "a fault", start)
            words = self._deployment.fault(fault.what)
            marks.append(Mark(round(time.time() - start, 1), words))
            self._options.say(f"{marks[-1].at:5.0f} s  {words}")
        self._until(self._result.exists, self._most_seconds, "Locust to end", start)
        self._locust.stop()
        return start, marks

    def _at_the_page(self, port: int) -> float:
        """Let people start and stop; the last load counts."""
        self._options.say(f"http://127.0.0.1:{port} starts and stops; Ctrl-C ends, and reports")
        with suppress(KeyboardInterrupt):
            self._until(lambda: self._locust.pid is None, float("inf"), "you")
        self._locust.stop()
        if not self._result.exists():
            raise LoadError(
                "nothing was started, or it has not come to its end: no report\n"
                f"{self._locust.tail()}"
            )
        return self._begun()

    def _begun(self) -> float:
        return float(msgspec.json.decode(self._started.read_bytes())["at"])

    def _until(
        self, condition: Callable[[], bool], seconds: float, what: str, start: float | None = None
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            ended = self._deployment.ended()
            if ended is None and self._locust.pid is None and not condition():
                ended = self._locust
            if ended is not None:
                raise LoadError(f"{ended.name} has ended:\n{ended.tail()}")
            if self._broker is not None and not is_alive(self._broker):
                raise LoadError("the broker has ended, and so has the run")
            if time.monotonic() > deadline:
                raise LoadError(f"waited {seconds:.0f} s for {what}:\n{self._locust.tail()}")
            if start is not None and time.monotonic() > self._said_at + PROGRESS_SECONDS:
                self._said_at = time.monotonic()
                progress = self._options.folder / PROGRESS
                words = progress.read_text() if progress.exists() else "sending"
                self._options.say(f"{time.time() - start:5.0f} s  {words}")
            time.sleep(LOOK_SECONDS)


def is_alive(pid: int) -> bool:
    """Say whether a process runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def reached(moment: float) -> bool:
    """Say whether a moment has come."""
    return time.time() >= moment


def conclude(
    options: Options,
    delivery: str,
    broker: Broker,
    start: float,
    marks: list[Mark],
    watch: Watch,
    unwilling: Sequence[str],
) -> Report:
    """Read what Locust has left, and write the report."""
    left: Mapping[str, Any] = msgspec.json.decode((options.folder / RESULT).read_bytes())
    found = left["search"]
    made = report(
        options.name,
        options.profile,
        start=start,
        tally=Tally.of_json(left["seconds"]),
        account=Account(**left["account"]),
        silent=left["silent"],
        by_hand=options.web is not None,
        unwilling=unwilling,
        samples=watch.samples,
        marks=marks,
        delivery=delivery,
        where=broker.words,
        machine=machine(),
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(start)),
        saturation=msgspec.convert(found, Found) if found else None,
    )
    folder = options.folder
    written = msgspec.json.format(msgspec.json.encode(made)) + b"\n"
    (folder / "report.json").write_bytes(written)
    (folder / "report.md").write_text(markdown(made))
    (folder / "report.html").write_text(page(made))
    (folder / "report.svg").write_text(picture(made))
    return made


def machine() -> dict[str, str]:
    """Return what a reader must know of this machine; it is shared by all that runs."""
    return {
        "cpu": f"{os.cpu_count()} cores, shared by generator, broker and pipeline",
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"Python {platform.python_version()}",
    }
