"""What a load needs of Locust, in each of its roles: alone, master, worker.

Alone and as master it runs the reader, follows what all have counted, and in the end says what
became of every record. Alone and as worker it has the producer. Workers tell the master by
messages of our own, since Locust ends a headless run before its workers' last report has come.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
import msgspec
from confluent_kafka import KafkaError
from gevent import Greenlet
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from lanternpipe.app import load_pipeline
from lanternpipe.environment import load_settings
from lanternpipe.topology import topic_names
from loadtest.files import PROGRESS, RESULT, STARTED
from loadtest.following import KIND, Following, Reader, ReaderError
from loadtest.lanes import PER_SECOND, Sent, Stream, due_by_second
from loadtest.plan import Planned
from loadtest.profile import Profile, read_profile
from loadtest.sending import Sender
from loadtest.tally import Tally

SECONDS, FINISH, FINISHED = "load-seconds", "load-finish", "load-finished"
FOLLOW_SECONDS = 0.5
EXIT_FAILED = 2
DRAIN_SECONDS = 60.0
FINISH_SECONDS = 60.0  # for workers to have flushed


_log = logging.getLogger("load")


def add_arguments(parser: ArgumentParser) -> None:
    """Add what is ours to Locust's command line."""
    parser.add_argument(
        "--load-profile",
        help="of loadtest/profiles.toml; by default, as many users as are asked for",
    )
    parser.add_argument("--rate", type=int, help="records per second, in place of the profile's")
    parser.add_argument("--seconds", type=float, help="length, in place of the profile's")
    parser.add_argument(
        "--stream-rate", type=int, default=100, help="records per second of a user, without profile"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to leave what was measured")
    parser.add_argument("--load-run", default="", help="set by Locust's master, for its workers")


class Harness:
    """One process of Locust.

    Args:
        environment: Locust's.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        options = environment.parsed_options
        assert options is not None
        self._options = options
        self._profile: Profile | None = None
        if options.load_profile:
            self._profile = read_profile(
                options.load_profile, rate=options.rate, seconds=options.seconds
            )
        self._stream_rate = -(-int(options.stream_rate) // PER_SECOND) * PER_SECOND
        if self._profile is not None:
            self._stream_rate = self._profile.stream_rate
        self._out = Path(options.out) if options.out else None
        self._sender: Sender | None = None
        self._following: Following | None = None
        self._reader: Reader | None = None
        self._beside: Greenlet[[], None] | None = None
        self._concluding: Greenlet[[], None] | None = None
        self._workers: set[str] = set()
        self._finished: dict[str, bool] = {}  # workers that have answered, and whether they sent
        runner = environment.runner
        self._worker = runner if isinstance(runner, WorkerRunner) else None
        self._master = runner if isinstance(runner, MasterRunner) else None
        if self._worker is not None:
            self._worker.register_message(FINISH, self._on_finish, concurrent=True)
        if self._master is not None:
            self._master.register_message(SECONDS, self._on_seconds)
            self._master.register_message(FINISHED, self._on_finished)
        self._plan: Planned | None = None
        if self._worker is None and self._profile is not None:
            self._plan = Planned(self._profile, lambda: self._known().window())
            environment.shape_class = self._plan
        events = environment.events
        events.test_start.add_listener(lambda **_: self._start())
        events.test_stop.add_listener(lambda **_: self._stop())
        events.quitting.add_listener(lambda **_: self._quit())

    def open_stream(self) -> Stream:
        """Begin another stream of records."""
        assert self._sender is not None
        return self._sender.open_stream(self._stream_rate)

    def close_stream(self, stream: Stream) -> None:
        """End a stream."""
        if self._sender is not None:
            self._sender.close_stream(stream)

    def send_due(self, stream: Stream) -> float:
        """Send what is due on a stream; return the seconds until the next is."""
        sender = self._sender
        return FOLLOW_SECONDS if sender is None else sender.send_due(stream)

    def _start(self) -> None:
        """Begin; what fails here Locust would log, and go on without."""
        if self._out is not None and self._worker is None:  # what an earlier load has left
            for name in (STARTED, RESULT):
                (self._out / name).unlink(missing_ok=True)
        try:
            self._begin()
        except BaseException:
            if self._worker is None:
                self._environment.process_exit_code = EXIT_FAILED
                assert self._environment.runner is not None
                gevent.spawn(self._environment.runner.quit)
            raise

    def _begin(self) -> None:
        options = self._options
        if self._worker is None:
            if self._concluding is not None:
                self._concluding.join()
            # Told to workers with Locust's own options, when they are told to start.
            options.load_run = uuid.uuid4().hex[:8]
            self._following, self._finished = Following(self._environment), {}
            if self._master is not None:
                self._workers = {client.id for client in self._master.clients.all}
            self._reader = Reader(options.load_run, self._drain)
        if self._master is None:
            settings = load_settings()
            pipeline = load_pipeline(settings.app)
            index = 0 if self._worker is None else self._worker.worker_index
            self._sender = Sender(
                settings.kafka,
                pipeline,
                topic_names(settings, pipeline).input,
                name=f"{options.load_run}-{index}",
                poison=self._profile.poison if self._profile else 0,
                undelivered=self._on_undelivered,
            )
        self._beside = gevent.spawn(self._follow)
        if self._worker is None:
            self._write(STARTED, json.dumps({"at": time.time()}))

    @property
    def _drain(self) -> float:
        return self._profile.limits.drain_seconds * 2 if self._profile else DRAIN_SECONDS

    def _follow(self) -> None:
        while True:
            gevent.sleep(FOLLOW_SECONDS)
            self._look()
            if self._reader is not None and self._reader.has_died:
                _log.error("the reader has ended: nobody sees what comes out")
                self._environment.process_exit_code = EXIT_FAILED
                assert self._environment.runner is not None
                gevent.spawn(self._environment.runner.quit)
                return

    def _look(self) -> None:
        if self._sender is not None:
            news = Tally(self._sender.tally)
            self._sender.tally.clear()
            if self._worker is not None:
                Following(self._environment).fold_sent(news)
                self._worker.send_message(SECONDS, news.as_json())
            else:
                self._known().take_sent(news, fold=True)
        if self._reader is not None:
            self._known().take_seen(self._reader.taken())
            self._write(PROGRESS, self._known().words())

    def _known(self) -> Following:
        assert self._following is not None
        return self._following

    def _stop(self) -> None:
        if self._worker is not None:
            return  # the master says when, once it hears of the end itself
        if self._sender is not None:
            streams = self._end_sender()
            self._known().streams += streams
        if self._master is not None:
            gone = {client.id for client in self._master.clients.missing}
            there = {client.id for client in self._master.clients.all} - gone
            self._workers |= there | gone  # one that came later has sent, too
            for worker in there | gone:  # one that was only slow may still hear it
                self._master.send_message(FINISH, None, worker)
            deadline = time.monotonic() + FINISH_SECONDS
            while there - self._finished.keys() and time.monotonic() < deadline:
                gevent.sleep(0.05)
            if silent := self._silent():
                _log.error(
                    "%d of %d workers have not said what they sent: their records cannot be "
                    "accounted for",
                    silent,
                    len(self._workers),
                )
        self._concluding = gevent.spawn(self._conclude)

    def _silent(self) -> int:
        """Return how many workers have not said what they sent."""
        return len(self._workers - {name for name, sent in self._finished.items() if sent})

    def _end_sender(self) -> list[Sent]:
        sender, beside = self._sender, self._beside
        assert sender is not None
        assert beside is not None
        self._sender = None
        streams = sender.finish()
        beside.kill()
        self._sender = sender
        self._look()
        self._sender = None
        return streams

    def _conclude(self) -> None:
        reader, known = self._reader, self._known()
        assert reader is not None
        assert self._beside is not None
        following = gevent.spawn(self._follow)
        try:
            account = reader.finish(known.streams)
        except (ReaderError, OSError) as error:
            _log.error("the reader of outputs and dead letters has ended: %s", error)
            self._environment.process_exit_code = EXIT_FAILED
            return
        finally:
            following.kill()
            self._beside.kill()
            self._look()
            self._reader = None
        counts = {name: count for name, count in account.items() if name != "examples"}
        _log.info("%s", " · ".join(f"{name} {count:,}" for name, count in counts.items()))
        for example in account["examples"]:
            _log.error("lost: %s", example)
        silent = self._silent()
        failures = ("lost", "duplicates", "reordered", "misjudged", "unknown")
        if silent or any(account[name] for name in failures):
            self._environment.process_exit_code = 1
        for at, due in due_by_second(known.streams).items():
            known.tally[at].offered = due
        search = self._plan.search if self._plan else None
        left = {
            "account": account,
            "silent": silent,
            "seconds": known.tally.as_json(),
            "search": msgspec.to_builtins(search.found()) if search else None,
        }
        self._write(RESULT, json.dumps(left))

    def _write(self, name: str, content: str) -> None:
        if self._out is None:
            return
        self._out.mkdir(parents=True, exist_ok=True)
        file = self._out / name
        partial = file.with_name(f"{name}.partial")
        partial.write_text(content)
        partial.rename(file)

    def _quit(self) -> None:
        if self._concluding is not None:
            self._concluding.join()
        if self._reader is not None:
            self._reader.close()

    def _on_undelivered(self, error: KafkaError) -> None:
        self._environment.events.request.fire(
            request_type=KIND,
            name="acknowledged",
            response_time=0,
            response_length=0,
            exception=RuntimeError(f"not delivered: {error.name()}"),
        )

    def _on_seconds(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002  # Locust's names
        if self._following is not None:
            self._following.take_sent(Tally.of_json(msg.data), fold=False)

    def _on_finish(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002  # Locust's names
        assert self._worker is not None
        # One whose start has failed has nothing to tell, which the master must know.
        streams = self._end_sender() if self._sender is not None else None
        self._worker.send_message(FINISHED, {"streams": streams})

    def _on_finished(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002  # Locust's names
        streams = msg.data["streams"]
        self._finished[msg.node_id] = streams is not None
        self._known().streams += [Sent(*each) for each in streams or []]
