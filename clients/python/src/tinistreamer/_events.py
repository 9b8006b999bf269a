"""Events as they are written and as they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from ._errors import InvalidEvent
from ._generated.models import Event as NewEvent
from ._surrogates import well_formed

RESERVED_NAMES = frozenset({"start", "end", "cancel", "error", "missedevents"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ID = re.compile(r"[0-9]+-([0-9]+)", re.ASCII)


@dataclass(frozen=True)
class Missed:
    """Events that are no longer stored, and were therefore not handed out."""

    after: str | None
    """The id after which they came; None: from the stream's beginning."""
    first: str | None
    """The id of the event that comes next; None: the stream is gone, and nothing comes any more."""
    missed: int | None
    """How many there were; None: the broker can't know."""


@dataclass(frozen=True)
class Event:
    """An event of a stream, as a subscription hands it out."""

    id: str | None
    """`<milliseconds>-<number>`; the numbers have no holes but those of filtered events. None only for `missedevents`."""
    event: str
    """Its name: the writer's, or the broker's own `start`, `end`, `cancel` and `missedevents`."""
    data: str
    """Its data; empty when there is none."""
    missed: Missed | None = None
    """What a `missedevents` tells; else None."""

    def json(self) -> Any:
        """The data read as JSON. Raises `ValueError` if it is not."""
        return json.loads(self.data)


@dataclass(frozen=True)
class KeyedEvent(Event):
    """An event of one of several streams."""

    key: str = field(kw_only=True)
    """The key of its stream."""


def number_of(event_id: str | None) -> int | None:
    """The number in an id; None if it is no id."""
    found = _ID.fullmatch(event_id) if event_id is not None else None
    return int(found[1]) if found else None


def encode(event: str, data: Any) -> str:
    """The JSON of an event to write, on one line. Raises `InvalidEvent` where the broker would refuse it.

    Half a character (a surrogate) in the data becomes U+FFFD. Raises `TypeError` when the name is no string.
    """
    _check_name(event)
    if event in RESERVED_NAMES:
        raise InvalidEvent("reserved-event", f"{event!r} is one of the broker's own events")
    try:
        if not 1 <= len(event.encode()) <= 128 or _CONTROL.search(event):
            raise InvalidEvent(
                "invalid-event",
                "An event name is 1 to 128 bytes of UTF-8 without control characters",
            )
        value = {"event": event} if data is None else {"event": event, "data": data}
        return well_formed(
            json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        )
    except InvalidEvent:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidEvent(
            "invalid-event", f"The event can't be written as JSON: {error}"
        ) from error


def _check_name(event: object) -> None:
    if not isinstance(event, str):
        raise TypeError(f"The name of an event is a string, not {_kind(event)}: write(name, data)")


def check_key(key: object) -> None:
    """Raises `TypeError` when the key of a stream is no string."""
    if not isinstance(key, str):
        raise TypeError(f"The key of a stream is a string, not {_kind(key)}")


def check_events(events: Iterable[object]) -> list[NewEvent]:
    """The events of a batch. Raises `TypeError` when one is not a `NewEvent`."""
    listed = list(events)
    for event in listed:
        if not isinstance(event, NewEvent):
            raise TypeError(
                f'events is a list of NewEvent, such as NewEvent(event="token", data="text"), not of {_kind(event)}'
            )
    return cast("list[NewEvent]", listed)


def _kind(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
