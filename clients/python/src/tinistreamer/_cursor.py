"""Cursors: positions in several streams, as one string."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

_ITEM = re.compile(r"([^:]+):([0-9]+-[0-9]+)?(!)?", re.ASCII)


@dataclass(frozen=True)
class Position:
    """How far a client is in one stream."""

    id: str | None
    """The last event that it has; None: it has nothing."""
    is_last: bool = False
    """Whether that was the stream's last."""


def check(after: str) -> None:
    """Raises `ValueError` if it could not be sent. What else is neither an id nor a cursor is for the broker to say."""
    if not (after.isascii() and after.isprintable()):
        raise ValueError(f"An event id is <milliseconds>-<number>, unlike {after!r}")


def parse(cursor: str) -> tuple[dict[str, Position], list[str]]:
    """The positions that a cursor spells out, by key, and its other items: only the broker reads those."""
    positions: dict[str, Position] = {}
    rest: list[str] = []
    for item in cursor.split(","):
        if found := _ITEM.fullmatch(item):
            positions[unquote(found[1])] = Position(found[2], found[3] is not None)
        else:
            rest.append(item)
    return positions, rest


def head(cursor: str) -> tuple[str, str | None] | None:
    """The stream that a frame with this cursor is from, and the frame's own id; None: it says neither."""
    found = _ITEM.fullmatch(cursor.partition(",")[0])
    return (unquote(found[1]), found[2]) if found else None


def item(key: str, position: Position) -> str:
    """A position, spelled out."""
    # A tilde at the beginning would look like the form that only the broker reads. An id that is none is for the broker to
    # refuse; it must not break up the list.
    return f"{quote(key, safe='').replace('~', '%7E')}:{quote(position.id or '', safe='')}{'!' if position.is_last else ''}"


def join(positions: dict[str, Position], rest: Iterable[str]) -> str | None:
    """A cursor of positions and of what only the broker reads; None if there is neither."""
    return ",".join([*(item(key, position) for key, position in positions.items()), *rest]) or None
