"""Events as a writer sends them and as a subscription yields them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from ._errors import InvalidEvent
from ._generated.models import Event as NewEvent
from ._json import to_json

RESERVED_NAMES = frozenset({"start", "end", "cancel", "fail", "abandon", "error", "missedevents"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ID = re.compile(r"[0-9]+-([0-9]+)", re.ASCII)


@dataclass(frozen=True)
class Missed:
    """A loss: events that the broker no longer stores, so that a subscription cannot yield them."""

    after: str | None
    """The id of the event before the loss; None: the loss starts with the first event."""
    first: str | None
    """The id of the next event; None: the stream was deleted, and no event follows."""
    missed: int | None
    """The number of missing events; None: the broker cannot count them."""


@dataclass(frozen=True)
class Event:
    """An event of a stream, as a subscription yields it."""

    id: str | None
    """`<milliseconds>-<number>`. The numbers have no holes, except where a filter removed events.

    Only a `missedevents` has None.
    """
    event: str
    """Its name.

    It is from the writer, or one of the broker's own: `start`, `missedevents`, and the last events
    `end`, `cancel`, `fail` and `abandon`.
    """
    data: str
    """Its data; the empty string when the event has none."""
    missed: Missed | None = None
    """The loss that a `missedevents` reports; else None."""
    count: int = 1
    """How many events it stands for. More than one only with `rollup`."""

    def json(self) -> Any:
        """Parses the data as JSON. Raises `ValueError` when it is not JSON."""
        return json.loads(self.data)


@dataclass(frozen=True)
class KeyedEvent(Event):
    """An event of one of several streams."""

    key: str = field(kw_only=True)
    """The key of its stream."""


def named(event: str, item: Any) -> tuple[str, Any]:
    """Returns the name and the data of an item that a writer pipes as this event."""
    return (item.event, item.data) if isinstance(item, NewEvent) else (event, item)


def number_of(event_id: str | None) -> int | None:
    """Returns the event number in an id; None when the text is not an id."""
    found = _ID.fullmatch(event_id) if event_id is not None else None
    return int(found[1]) if found else None


def encode(event: str, data: Any) -> str:
    """Encodes an event as JSON on one line.

    A lone surrogate in the data becomes U+FFFD. Raises `InvalidEvent` where the broker would refuse
    the event, and `TypeError` when the name is not a string.
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
        return to_json({"event": event} if data is None else {"event": event, "data": data})
    except InvalidEvent:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidEvent(
            "invalid-event", f"The event can't be written as JSON: {error}"
        ) from error


def _check_name(event: object) -> None:
    if not isinstance(event, str):
        raise TypeError(
            f"The name of an event is a string, not {_describe(event)}: write(name, data)"
        )


def check_key(key: object) -> None:
    """Raises `TypeError` when the key of a stream is not a string."""
    if not isinstance(key, str):
        raise TypeError(f"The key of a stream is a string, not {_describe(key)}")


def check_events(events: Iterable[object]) -> list[NewEvent]:
    """Returns the events of a batch as a list. Raises `TypeError` when one is not a `NewEvent`."""
    listed = list(events)
    for event in listed:
        if not isinstance(event, NewEvent):
            raise TypeError(
                'events is a list of NewEvent, such as NewEvent(event="token", data="text"), '
                f"not of {_describe(event)}"
            )
    return cast("list[NewEvent]", listed)


def _describe(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
