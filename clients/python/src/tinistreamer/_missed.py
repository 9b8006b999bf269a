"""How many events a subscription has missed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._events import Missed


@dataclass(frozen=True)
class MissedTotal:
    """What a subscription has missed so far: events that were no longer stored when it asked for them."""

    count: int
    """How many events are known to be missing."""
    known: bool
    """Whether `count` is all of them. It is not after a loss that the broker could not count."""


class MissedCounter:
    """Counts the events that are missing in one stream."""

    def __init__(self) -> None:
        self._earlier: MissedTotal | None = None
        self._last: Missed | None = None

    def add(self, missed: Missed) -> None:
        """A connection that breaks before the next event makes the broker report the same loss again, after the same id."""
        if self._last is not None and self._last.after != missed.after:
            self._earlier = self.total
        self._last = missed

    @property
    def total(self) -> MissedTotal | None:
        """None while nothing is missing."""
        if self._last is None:
            return None
        last = MissedTotal(self._last.missed or 0, self._last.missed is not None)
        return sum_of([self._earlier, last])


def sum_of(totals: Iterable[MissedTotal | None]) -> MissedTotal | None:
    """The sum over several streams; None while nothing is missing."""
    losses = [total for total in totals if total is not None]
    if not losses:
        return None
    return MissedTotal(sum(loss.count for loss in losses), all(loss.known for loss in losses))
