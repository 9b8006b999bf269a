"""Consecutive strings of one event name, which a writer gathers into one event. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from ._surrogates import well_formed

MAX_GATHERED = 64 * 1024
"""The bytes of UTF-8 that one event may gather."""

# Half a character that waits, and the U+FFFD that may stand for it.
_MARGIN = 8


def _size(text: str) -> int:
    return len(well_formed(text).encode())


class Gathering:
    """The event that is being gathered. The window is in seconds."""

    def __init__(self, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.window = window
        self._clock = clock
        self._event: str | None = None
        self._texts: list[str] = []
        self._size = 0
        self._since = 0.0

    def __len__(self) -> int:
        """The number of events that are being gathered: 0 or 1."""
        return self._event is not None

    @property
    def left(self) -> float | None:
        """The seconds until the event is due; None without one."""
        if self._event is None:
            return None
        return max(self._since + self.window - self._clock(), 0.0)

    def takes(self, event: str, data: object) -> bool:
        """Whether the data becomes a part of the event that is being gathered."""
        return (
            event == self._event
            and isinstance(data, str)
            and self._size + _size(data) + _MARGIN <= MAX_GATHERED
        )

    def add(self, event: str, text: str) -> list[tuple[str, str]]:
        """Adds a string. Returns the events that are complete now, as names and data."""
        complete: list[tuple[str, str]] = []
        size = _size(text)
        if event != self._event or self._size + size > MAX_GATHERED:
            complete += self.take()
            self._event, self._since = event, self._clock()
        self._texts.append(text)
        self._size += size
        return complete + (self.take() if self._size >= MAX_GATHERED else [])

    def take(self) -> list[tuple[str, str]]:
        """Returns the event that was gathered, and begins anew."""
        if self._event is None:
            return []
        taken = (self._event, "".join(self._texts))
        self._event, self._texts, self._size = None, [], 0
        return [taken]
