"""The check that each event of a stream follows the event before it. No I/O."""

from __future__ import annotations

import json
from typing import Any, cast

from ._errors import Gap
from ._events import Event, Missed, number_of
from ._frames import Frame
from ._missed import MissedCounter
from ._reason import Reason, reason_in
from ._status import LAST_EVENTS, FinalStatus, Outcome


class SequenceCheck:
    """Checks that no event of one stream is lost or repeated, and keeps the position in it."""

    def __init__(self, after: str | None, *, is_filtered: bool, may_start_anywhere: bool) -> None:
        """Starts after an event id.

        `may_start_anywhere`: without `after`, the first event need not have the number 0.
        """
        self.position = after
        self.status: Outcome | None = None
        self.status_if_last: FinalStatus | None = None
        """The status if no event follows the position; None when the last event has no such."""
        self.missed = MissedCounter()
        self._is_filtered = is_filtered
        self._expected: int | None
        if after is not None:
            # The broker refuses an invalid id, so that any number does here.
            self._expected = (number_of(after) or 0) + 1
        else:
            self._expected = None if may_start_anywhere else 0
        self._first: str | None = None
        self._last_data = ""

    def accept(self, frame: Frame) -> Event | None:
        """Returns the event to yield; None when the frame only moves the position.

        Raises `Gap` when the frame does not follow the frame before it.
        """
        if frame.event == "missedevents":
            return self._accept_loss(frame)
        if frame.event is None:
            self._accept_position(frame.id)
            return None
        number = number_of(frame.id)
        if number is None:
            raise Gap(f"An event {frame.event!r} came without an id")
        if self.status is not None or not self._may_follow(frame, number):
            raise Gap(f"After {self.position} {self._description()} must come, not {frame.id}")
        self._expected, self._first = number + 1, None
        self.position = frame.id
        self.status = frame.status or LAST_EVENTS.get(frame.event)
        self.status_if_last = frame.status_if_last
        self._last_data = frame.data
        return Event(frame.id, frame.event, frame.data, count=frame.count)

    def complete(self) -> None:
        """The broker reports that no event follows the position."""
        if self.status is None:
            self.status = self.status_if_last

    @property
    def reason(self) -> Reason | None:
        """What the last event says; None before, for `ended`, and when it says nothing."""
        if self.status not in {"cancelled", "failed", "abandoned"}:
            return None
        return reason_in(self._last_data)

    def _may_follow(self, frame: Frame, number: int) -> bool:
        if self._expected is None:
            return True
        # The id of a frame that stands for several events is that of the last one.
        first = number - frame.count + 1
        # A filter leaves holes in the numbers.
        if self._is_filtered:
            return first >= self._expected
        is_first = frame.count > 1 or self._first in {None, frame.id}
        return first == self._expected and is_first

    def _description(self) -> str:
        """What must come next, for an error message."""
        if self.status is not None:
            return "nothing"
        event = self._first or f"number {self._expected}"
        return f"the event {event}{' or a later one' if self._is_filtered else ''}"

    def _accept_position(self, event_id: str | None) -> None:
        if not event_id:
            return
        number = number_of(event_id)
        if number is None:
            raise Gap(f"A position can't be read: {event_id}")
        following = number + 1
        if self._expected is not None and (
            following < self._expected or (following > self._expected and not self._is_filtered)
        ):
            raise Gap(
                f"After {self.position} {self._description()} must come, "
                f"and not the position {event_id}"
            )
        if event_id != self.position:
            self.status_if_last = None
        self._expected, self.position = following, event_id

    def _accept_loss(self, frame: Frame) -> Event:
        try:
            decoded = cast("dict[str, Any]", json.loads(frame.data))
            missed = Missed(
                after=decoded["after"], first=decoded["first"], missed=decoded["missed"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Gap(f"What was missed can't be read: {frame.data}") from error
        self.missed.add(missed)
        self.status_if_last = None
        if missed.first is None:
            self.status = "gone"
        else:
            number = number_of(missed.first)
            if number is None:
                raise Gap(f"What was missed can't be read: {frame.data}")
            self._expected, self._first = number, missed.first
        return Event(None, "missedevents", frame.data, missed)
