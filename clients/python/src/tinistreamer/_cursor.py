"""Cursors: the text form of positions in several streams."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

_ITEM = re.compile(r"([^:]+):([0-9]+-[0-9]+)?(!)?", re.ASCII)


@dataclass(frozen=True)
class Position:
    """How far a subscriber has read one stream."""

    id: str | None
    """The id of the last event that the subscriber has; None: it has no event."""
    is_last: bool = False
    """Whether that event was the last of the stream."""


def check(after: str) -> None:
    """Raises `ValueError` when a header cannot carry the text.

    The broker judges everything else about ids and cursors.
    """
    if not (after.isascii() and after.isprintable()):
        raise ValueError(f"An event id is <milliseconds>-<number>, unlike {after!r}")


def parse(cursor: str) -> tuple[dict[str, Position], list[str]]:
    """Returns the readable positions by key, and the opaque items that only the broker reads."""
    positions: dict[str, Position] = {}
    opaque: list[str] = []
    for item in cursor.split(","):
        if found := _ITEM.fullmatch(item):
            positions[unquote(found[1])] = Position(found[2], found[3] is not None)
        else:
            opaque.append(item)
    return positions, opaque


def head(cursor: str) -> tuple[str, Position] | None:
    """Returns the key and the position in the first item of a frame's cursor.

    The first item names the stream of the frame. Returns None when the item is opaque.
    """
    found = _ITEM.fullmatch(cursor.partition(",")[0])
    return (unquote(found[1]), Position(found[2], found[3] is not None)) if found else None


def item(key: str, position: Position) -> str:
    """Writes one position as an item of a cursor."""
    # An item that starts with a tilde is opaque, so a tilde in a key must be escaped. The broker
    # refuses an invalid id. Such an id must not split the list.
    last = "!" if position.is_last else ""
    return f"{quote(key, safe='').replace('~', '%7E')}:{quote(position.id or '', safe='')}{last}"


def join(positions: dict[str, Position], opaque: Iterable[str]) -> str | None:
    """Writes positions and opaque items as one cursor; None when there are none."""
    items = [*(item(key, position) for key, position in positions.items()), *opaque]
    return ",".join(items) or None
