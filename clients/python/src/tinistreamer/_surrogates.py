"""Surrogate pairs that arrive in two parts, because tokenizers split emoji."""

from __future__ import annotations

_MAX_HELD = 100
"""The number of event names that may have a first half waiting.

The limit bounds the memory of a writer that invents event names.
"""


class SplitCharacters:
    """Joins the halves of a character that come in two writes of the same event name.

    UTF-8 cannot encode one half alone. The first half therefore waits for the next write of the
    same event name.
    """

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def join(self, event: str, data: str) -> str:
        """Puts the waiting half before the data, and keeps a first half at the end of the data."""
        text = self._held.pop(event, "") + data
        if not "\ud800" <= text[-1:] <= "\udbff" or len(self._held) >= _MAX_HELD:
            return text
        self._held[event] = text[-1]
        return text[:-1]

    def take_unpaired(self) -> list[str]:
        """Returns the event names whose second half never came, and stops waiting for it."""
        names = [*self._held]
        self._held.clear()
        return names


def well_formed(text: str) -> str:
    """Joins adjacent halves of a character, and replaces each lone half with U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
