"""Delays between attempts: exponential, with jitter."""

from __future__ import annotations

import random


class Backoff:
    """Computes retry delays in seconds.

    The delay doubles with each failure in a row. The caller waits a random part of it, between one
    half and the whole, so that many clients do not return at the same moment.
    """

    def __init__(self, first: float, longest: float) -> None:
        self.first = first
        self._longest = longest
        self._failures = 0

    def reset(self) -> None:
        """Starts again with the first delay, after a success."""
        self._failures = 0

    def next(self, remaining: float, at_least: float | None = None) -> float | None:
        """Returns the delay after one more failure, not shorter than `at_least`.

        Returns None when no attempt fits into the `remaining` seconds.
        """
        if remaining <= 0:
            return None
        # After 30 failures the delay has reached its maximum. A larger power would overflow.
        whole = min(self.first * 2 ** min(self._failures, 30), self._longest)
        self._failures += 1
        delay = max(min(whole * random.uniform(0.5, 1), remaining), at_least or 0.0)
        return delay if delay <= remaining else None
