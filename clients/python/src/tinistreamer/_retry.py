"""When a writer sends again after a failure, and for how long it tries. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from ._backoff import Backoff
from ._errors import TinistreamerError, is_transient, retry_after_of


class Retry:
    """Limits the attempts of a writer to `retry_for` seconds without a confirmation."""

    def __init__(self, retry_for: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry_for = retry_for
        self._clock = clock
        self._backoff = Backoff(0.1, 5.0)
        self._since = clock()

    def restart(self) -> None:
        """Starts the time again, after a confirmation, or when there is a first event to send."""
        self._since = self._clock()
        self._backoff.reset()

    @property
    def remaining(self) -> float:
        """The seconds that are left for attempts."""
        return max(self._since + self._retry_for - self._clock(), 0.0)

    def after(self, error: TinistreamerError) -> float:
        """Returns the seconds until the next attempt.

        Raises the error when it is final, and when no time is left.
        """
        delay: float | None = None
        if is_transient(error):
            delay = self._backoff.next(self.remaining, retry_after_of(error))
        if delay is None:
            raise error
        return delay
