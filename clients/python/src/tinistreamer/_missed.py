"""The number of events that a subscription has missed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._events import Missed


@dataclass(frozen=True)
class MissedTotal:
    """The events that a subscription has missed so far.

    The broker no longer stored them when the subscription asked for them.
    """

    count: int
    """The number of events that are known to be missing."""
    known: bool
    """Whether `count` includes all missing events.

    It is False after a loss that the broker could not count.
    """


class MissedCounter:
    """Counts the missing events of one stream."""

    def __init__(self) -> None:
        self._earlier: MissedTotal | None = None
        self._last: Missed | None = None

    def add(self, missed: Missed) -> None:
        """Counts a loss.

        When a connection breaks before the next event, the broker reports the same loss again, with
        the same `after`. That report replaces the earlier one.
        """
        if self._last is not None and self._last.after != missed.after:
            self._earlier = self.total
        self._last = missed

    @property
    def total(self) -> MissedTotal | None:
        """The events that are missing so far; None while none is."""
        if self._last is None:
            return None
        last = MissedTotal(self._last.missed or 0, self._last.missed is not None)
        return sum_of([self._earlier, last])


def sum_of(totals: Iterable[MissedTotal | None]) -> MissedTotal | None:
    """Adds the totals of several streams; None when no event is missing."""
    losses = [total for total in totals if total is not None]
    if not losses:
        return None
    return MissedTotal(sum(loss.count for loss in losses), all(loss.known for loss in losses))
