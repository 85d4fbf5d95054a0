"""The plan of a run as Locust follows it: how many users, second by second."""

from __future__ import annotations

from collections.abc import Callable

from locust import LoadTestShape

from loadtest.profile import TOP, Profile
from loadtest.search import Search, Window

SPAWN_AT_ONCE = 100  # users a second: the most that Locust takes without a warning


class Planned(LoadTestShape):
    """Follows a profile.

    Args:
        profile: What is sent when.
        window: Returns what was seen in the last second; a search for saturation asks.
    """

    abstract = True  # built by us; Locust shall not build one of its own

    def __init__(self, profile: Profile, window: Callable[[], Window]) -> None:
        super().__init__()
        self._profile, self._window = profile, window
        self.search: Search | None = None

    def reset_time(self) -> None:
        """Begin again, as Locust does where a person starts a second load."""
        super().reset_time()
        self.search = None

    def tick(self) -> tuple[int, float] | None:
        """Return how many users send now; None at the end."""
        seconds = self.get_run_time()
        profile = self._profile
        if seconds >= profile.seconds:
            return None
        if profile.shape != "saturation":
            return profile.users(profile.rate_at(seconds)), SPAWN_AT_ONCE
        if self.search is None:
            limit = profile.limits.p99_ms or 1_000
            step = profile.stream_rate
            self.search = Search(profile.rate, TOP, limit, profile.limits.late_ms, step)
        if seconds >= profile.warm_up:
            self.search.see(self._window())
        if self.search.done:
            return None
        return profile.users(self.search.rate), SPAWN_AT_ONCE
