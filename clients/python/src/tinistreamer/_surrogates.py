"""Characters whose halves (a surrogate pair) come apart, as tokenizers cut emoji."""

from __future__ import annotations

_MAX_HELD = 100
"""How many names of events may have half a character waiting, so that a writer that makes up names does not grow."""


class SplitCharacters:
    """Joins the halves of a character that come in two writes of the same event name.

    The first half waits for the next write of that name; UTF-8 can't carry it alone.
    """

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def join(self, event: str, data: str) -> str:
        """The data with the half that waited before it, and without the half that it ends with."""
        text = self._held.pop(event, "") + data
        if not "\ud800" <= text[-1:] <= "\udbff" or len(self._held) >= _MAX_HELD:
            return text
        self._held[event] = text[-1]
        return text[:-1]

    def rest(self) -> list[str]:
        """The names of the events whose second half never came; they wait no longer."""
        names = [*self._held]
        self._held.clear()
        return names


def well_formed(text: str) -> str:
    """The text with halves of a character joined where they meet, and U+FFFD for each that is alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
