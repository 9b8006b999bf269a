"""When a writer renews its lease, and what the broker's answers mean. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from ._errors import ApiError, TinistreamerError
from ._generated.api.streams.renew_stream import renew_stream
from ._generated.models import Renewed, RenewStream
from ._generated.types import Operation
from ._log import brief, log
from ._stop import is_cancelled

SHORT_TIMEOUT = 3.0
"""Seconds for a request that a writer can do without, such as for the end of its lease."""

_LONGEST_TIMEOUT = 10.0

# The broker will answer the next renewal in the same way.
_FINAL_STATUSES = frozenset({400, 401, 403, 404, 405, 409})


class Lease:
    """The lease of one writer: `seconds` within which the writer must show that it lives."""

    def __init__(
        self,
        seconds: int,
        key: str,
        generation: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_over = not seconds
        """Whether the writer must not renew any more."""
        self.may_exist = False
        """Whether the broker may have a lease of this writer."""
        self.is_renewing = False
        """Whether a renewal waits for its answer."""
        self._seconds = seconds
        self._key = key
        self._generation = generation
        self._clock = clock
        self._due = clock()

    @property
    def timeout(self) -> float:
        """The seconds after which a renewal without an answer has failed."""
        return min(_LONGEST_TIMEOUT, self._seconds / 2)

    @property
    def left(self) -> float:
        """The seconds until the next renewal."""
        return max(self._due - self._clock(), 0.0)

    def renew(self) -> Operation[Renewed]:
        """Returns the next renewal. Another one follows after a quarter of the lease."""
        self._due = self._clock() + self._seconds / 4
        self.may_exist = self.is_renewing = True
        # Another writer of the stream may have ended the lease: so each renewal says how long.
        return self._request(self._seconds)

    def release(self) -> Operation[Renewed]:
        """Returns the request that ends the lease."""
        return self._request(0)

    def _request(self, seconds: int) -> Operation[Renewed]:
        return renew_stream(RenewStream(key=self._key, lease=seconds, generation=self._generation))

    def answered(self, outcome: Renewed | TinistreamerError) -> bool:
        """Takes the answer to a renewal. Returns whether somebody has stopped the stream."""
        if isinstance(outcome, Renewed):
            # Older brokers report only the deadline of a stop.
            return (outcome.stop_requested_at or outcome.stop_expires_at) is not None
        if isinstance(outcome, ApiError) and outcome.status in _FINAL_STATUSES:
            return self._refused(outcome)
        log.warning("The lease could not be renewed: %s", brief(outcome))
        return False

    def _refused(self, error: ApiError) -> bool:
        is_inactive = error.code == "no-active-stream"
        if is_inactive and error.stream_status is None:
            # The stream does not exist yet.
            return False
        self.is_over, self.may_exist = True, False
        if error.status in {404, 405} and not is_inactive:
            log.info("The broker has no leases")
        elif not is_inactive:
            log.warning("The lease is not renewed any more: %s", brief(error))
        return is_cancelled(error)
