"""A decoder of server-sent events. No I/O.

The package httpx-sse does not fit. After the first id it yields an event at each blank line, with
or without data, and the broker's heartbeats end with a blank line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from ._frames import Frame
from ._status import POSSIBLE_LAST_EVENTS

# The line ends of the standard. str.splitlines also splits at characters that belong to the data,
# such as U+2028 and U+0085.
_LINE_END = re.compile(r"\r\n|\n|\r")

# A comment of the broker: how many events the next frame stands for.
_ROLLUP = re.compile(r"rollup ([1-9][0-9]{0,15})")


class SseDecoder:
    """Decodes frames from chunks of bytes that may be cut anywhere."""

    def __init__(self) -> None:
        self.retry: float | None = None
        """The reconnection time that the broker sent, in seconds."""
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._parts: list[str] = []
        self._at_start = True
        self._after_cr = False
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []
        self._count = 1

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yields the frames that this chunk completes."""
        text = self._utf8.decode(chunk)
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if not text:
            return
        if self._after_cr:
            # A line ends at its CR. The LF of a CRLF may come with the next chunk.
            text = text.removeprefix("\n")
            self._after_cr = False
        if not text:
            return
        self._after_cr = text.endswith("\r")
        # Only the new chunk is searched for line ends: a long line comes in many chunks.
        *lines, rest = _LINE_END.split(text)
        for line in lines:
            whole = "".join((*self._parts, line))
            self._parts.clear()
            if frame := self._line(whole):
                yield frame
        self._parts.append(rest)

    def _line(self, line: str) -> Frame | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value) / 1000
            case "" if rollup := _ROLLUP.fullmatch(value):
                self._count = int(rollup[1])
            case _:
                # A comment, or a field that the standard says to ignore.
                pass
        return None

    def _dispatch(self) -> Frame | None:
        frame: Frame | None = None
        if self._data:
            frame = Frame(
                self._id,
                self._event or "message",
                "\n".join(self._data),
                status_if_last=POSSIBLE_LAST_EVENTS.get(self._event),
                count=self._count,
            )
        elif self._id is not None:
            # Not an event, for browsers either: the broker has read the stream up to this id.
            frame = Frame(self._id, None)
        self._id, self._event, self._data, self._count = None, "", [], 1
        return frame
