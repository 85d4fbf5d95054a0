"""Whether this process lives and is ready: pure conditions over what the loop tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from lanternpipe.ports import Log

ANSWER_COUNTS_AFTER = 60.0  # seconds; longer than any call was seen to wait
# Rights that were just given, and certificates that are being replaced, get so many seconds.
REFUSED_PATIENCE = 10.0
# A client that renews its login may be refused, and let in again within milliseconds.
NO_RIGHT = "AUTHORIZATION_FAILED"  # how the codes end of those that have come in
LOGIN, LOGIN_SECONDS = "_AUTHENTICATION", 1.0


class Verdict(NamedTuple):
    """The answer to a probe."""

    ok: bool
    reason: str


class Health:
    """What the loop tells of itself, and what probes conclude from it.

    Live: the loop moves; waiting for a broker counts as moving, since a restart would not bring
    the broker back. Ready: has joined the group and received an assignment, possibly empty, and
    is not stopping, nor stopped by the breaker, nor refused by brokers; a broker that goes away
    later does not unset it.

    Args:
        stuck_after: Seconds without a turn of the loop after which the process counts as stuck.
        log: Says once that something is waited for, and once that it is back.
        clock: Monotonic seconds.
        until_ready: What is said before ``joined``.
        once_ready: What is said afterwards, when all is well.
    """

    def __init__(
        self,
        *,
        stuck_after: float,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        until_ready: str = "has not joined the group yet",
        once_ready: str = "has an assignment",
    ) -> None:
        self._until_ready = until_ready
        self._once_ready = once_ready
        self._stuck_after = stuck_after
        self._log = log
        self._clock = clock
        self._beat_at = clock()
        self._joined = False
        self._stopping = False
        self._unready: str | None = None
        self._refused: tuple[str, str] | None = None
        self._refused_since = 0.0
        self._denied = False
        self._fatal: str | None = None
        self._waiting_since: float | None = None
        self._waited_at = 0.0

    def beat(self) -> None:
        """The loop has made a turn."""
        self._beat_at = self._clock()

    def joined(self) -> None:
        """An assignment has been received, or whatever else it takes to be ready."""
        self._joined = True

    def stopping(self) -> None:
        """The process has been asked to stop."""
        self._stopping = True

    def unready(self, reason: str | None) -> None:
        """Records are not processed for this reason, though the loop moves; None: they are."""
        self._unready = reason

    def refused(self, code: str, reason: str) -> None:
        """Brokers do not take us, or we do not take them; said once, however often it is told."""
        self.beat()
        self._waited_at = self._clock()
        if self._refused is None:
            self._refused_since = self._clock()
        self._refused = code, reason
        certain = code != LOGIN or self._clock() - self._refused_since >= LOGIN_SECONDS
        if certain and not self._denied:
            self._denied = True
            self._log("error", "access_refused", code=code, reason=reason)

    @property
    def waits(self) -> bool:
        """Whether something outside is waited for."""
        return self._waiting_since is not None

    @property
    def denied(self) -> bool:
        """Whether brokers refuse us just now."""
        return self._denied

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Why brokers refused us, or may have, when we last heard of it: a code and a reason."""
        return self._refused

    def hopeless(self) -> tuple[str, str] | None:
        """Return why there is no sense in waiting: refused for a while, and never let in.

        A code and a reason.
        """
        if self._joined or self._refused is None:
            return None
        late = self._clock() - self._refused_since > REFUSED_PATIENCE
        return self._refused if late else None

    def fatal(self, reason: str) -> None:
        """The process is about to end because of an error."""
        self._fatal = reason

    def wait(self, code: str) -> None:
        """Something outside is waited for; said once, however often this is called."""
        self.beat()
        self._waited_at = self._clock()
        if self._waiting_since is None:
            self._waiting_since = self._clock()
            self._log("warning", "waiting_for_broker", code=code)

    def flows(self) -> None:
        """What was waited for has answered."""
        since, self._waiting_since = self._waiting_since, None  # another thread may do the same
        if since is not None:
            seconds = round(self._clock() - since, 1)
            self._log("info", "broker_is_back", after_seconds=seconds)
        self._granted()

    def let_in(self) -> None:
        """A client has just got in: what was said of logins does not hold any more."""
        if self._refused is not None and not self._refused[0].endswith(NO_RIGHT):
            self._granted()

    def _granted(self) -> None:
        denied, self._denied, self._refused = self._denied, False, None
        if denied:
            seconds = round(self._clock() - self._refused_since, 1)
            self._log("info", "access_granted", after_seconds=seconds)

    def answered(self) -> None:
        """A broker has answered a question beside the flow of records.

        That ends a wait only if nothing has waited for a while: one broker may answer while
        another, the coordinator, is still away.
        """
        if self._clock() - self._waited_at > ANSWER_COUNTS_AFTER:
            self.flows()

    def live(self) -> Verdict:
        """Say whether a restart would help."""
        still = self._clock() - self._beat_at
        if still > self._stuck_after:
            return Verdict(ok=False, reason=f"the loop has not moved for {still:.0f} s")
        return Verdict(ok=True, reason="the loop moves")

    def ready(self) -> Verdict:
        """Say whether this process does its share."""
        if self._fatal is not None:
            return Verdict(ok=False, reason=self._fatal)
        if self._stopping:
            return Verdict(ok=False, reason="stopping")
        if not self._joined:
            return Verdict(ok=False, reason=self._until_ready)
        if self._denied and self._refused is not None:
            return Verdict(ok=False, reason=f"refused: {self._refused[1]}")
        if self._unready is not None:
            return Verdict(ok=False, reason=self._unready)
        return Verdict(ok=True, reason=self._once_ready)
