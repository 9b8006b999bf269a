"""Jittered exponential back-off."""

from __future__ import annotations

import random


class Backoff:
    """Delays in seconds that double with each failure in a row, of which a random half to whole is waited."""

    def __init__(self, first: float, longest: float) -> None:
        self.first = first
        self._longest = longest
        self._failures = 0

    def reset(self) -> None:
        """The row of failures is over."""
        self._failures = 0

    def next(self, remaining: float, at_least: float | None = None) -> float | None:
        """The delay after another failure, no shorter than `at_least`; None if `remaining` seconds allow no other attempt."""
        if remaining <= 0:
            return None
        # Beyond 2^30 the delay is at its longest anyway, and a float would overflow in the end.
        whole = min(self.first * 2 ** min(self._failures, 30), self._longest)
        self._failures += 1
        delay = max(min(whole * random.uniform(0.5, 1), remaining), at_least or 0.0)
        return delay if delay <= remaining else None
