"""For Locust: ``locust -f loadtest/locustfile.py``; or `make load`, which brings all the rest.

Sends the samples of ``PIPELINE_APP`` to its input topic, on the broker and with the security that
``PIPELINE_KAFKA__…`` names, and looks at its output topic and dead letters.
"""

from __future__ import annotations

from typing import Any

from locust import User, events, task
from locust.env import Environment

from loadtest.harness import Harness, add_arguments

events.init_command_line_parser.add_listener(add_arguments)


@events.init.add_listener
def on_init(environment: Environment, **_: Any) -> None:
    """Prepare this process, whatever its role."""
    environment.harness = Harness(environment)  # type: ignore[attr-defined]  # as Locust's docs do


class KafkaUser(User):
    """Sends at a steady rate, whatever comes back."""

    def on_start(self) -> None:
        """Begin a stream."""
        self.harness: Harness = self.environment.harness
        self.stream = self.harness.open_stream()
        self.pause = 0.0

    def on_stop(self) -> None:
        """End it."""
        self.harness.close_stream(self.stream)

    @task
    def send(self) -> None:
        """Send what is due."""
        self.pause = self.harness.send_due(self.stream)

    def wait_time(self) -> float:
        """Return the seconds until more is due."""
        return self.pause
