"""How far a client is in one stream, and which event must come next. Without I/O."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

from ._errors import Gap
from ._events import Event, Missed, number_of
from ._frames import Frame
from ._missed import MissedCounter

Outcome = Literal["ended", "cancelled", "gone"]
Status = Literal["active", Outcome]

_FINAL: dict[str, Outcome] = {"end": "ended", "cancel": "cancelled"}


class SequenceCheck:
    """The position in a stream, and the check that nothing is lost or repeated after it."""

    def __init__(self, after: str | None, *, is_filtered: bool, begins_anywhere: bool) -> None:
        """`begins_anywhere`: without `after`, the first event need not be number 0."""
        self.position = after
        self.status: Outcome | None = None
        self.missed = MissedCounter()
        self._is_filtered = is_filtered
        # What can't be read as an id, the broker refuses.
        self._expected = (
            (number_of(after) or 0) + 1 if after is not None else None if begins_anywhere else 0
        )
        self._first: str | None = None

    def accept(self, frame: Frame) -> Event | None:
        """The event to hand out; None if the frame only moves the position. Raises `Gap` if it must not come next."""
        if frame.event == "missedevents":
            return self._missed(frame)
        if frame.event is None:
            self._moved(frame.id)
            return None
        number = number_of(frame.id)
        if number is None:
            raise Gap(f"An event {frame.event!r} came without an id")
        if self.status is not None or not self._may_be_next(frame.id, number):
            raise Gap(f"After {self.position} {self._wanted()} must come, not {frame.id}")
        self._expected, self._first = number + 1, None
        self.position = frame.id
        self.status = _FINAL.get(frame.event)
        return Event(frame.id, frame.event, frame.data)

    def _may_be_next(self, event_id: str | None, number: int) -> bool:
        if self._expected is None:
            return True
        # What was filtered leaves holes in the numbers.
        if self._is_filtered:
            return number >= self._expected
        return number == self._expected and self._first in {None, event_id}

    def _wanted(self) -> str:
        if self.status is not None:
            return "nothing"
        return f"the event {self._first or f'number {self._expected}'}{' or a later one' if self._is_filtered else ''}"

    def _moved(self, event_id: str | None) -> None:
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
                f"After {self.position} {self._wanted()} must come, and not the position {event_id}"
            )
        self._expected, self.position = following, event_id

    def _missed(self, frame: Frame) -> Event:
        try:
            told = cast("dict[str, Any]", json.loads(frame.data))
            missed = Missed(after=told["after"], first=told["first"], missed=told["missed"])
        except (ValueError, KeyError, TypeError) as error:
            raise Gap(f"What was missed can't be read: {frame.data}") from error
        self.missed.add(missed)
        if missed.first is None:
            self.status = "gone"
        else:
            number = number_of(missed.first)
            if number is None:
                raise Gap(f"What was missed can't be read: {frame.data}")
            self._expected, self._first = number, missed.first
        return Event(None, "missedevents", frame.data, missed)
