"""What a writer pipes, with threads."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from functools import partial
from typing import Any

from .._log import log

Items = Iterable[Any]
"""What a synchronous writer can pipe."""


class Source:
    """Reads an iterable until a stop, in the thread of its caller."""

    def __init__(self, source: Items) -> None:
        self._source = source
        self._items = iter(source)
        self.is_interrupted = False
        """Whether a stop, or a failure of the writer, has ended the reading."""

    def next(self) -> tuple[Any] | None:
        """Returns the next item in a tuple; None after the last, and after a stop."""
        if self.is_interrupted:
            return None
        try:
            return (next(self._items),)
        except StopIteration:
            return None
        except Exception:
            if self.is_interrupted:
                # The source was closed while it was read.
                return None
            raise

    def interrupt(self) -> None:
        """Closes the source, so that a `next` that waits can end.

        Only the thread that runs a generator can close it: such a source ends at its next item.
        """
        self.is_interrupted = True
        if not isinstance(self._source, Generator):
            # In a thread of its own: to close something that is being read may take a while.
            closer = partial(close_source, self._source)
            threading.Thread(target=closer, name="tinistreamer-closer", daemon=True).start()

    def close(self) -> None:
        """Closes the source, so that what produces its items stops."""
        close_source(self._items)
        close_source(self._source)


def close_source(source: object) -> None:
    """Closes something that is read. A failure of that goes into the log."""
    close = getattr(source, "close", None)
    if callable(close):
        try:
            close()
        except Exception as error:  # noqa: BLE001 - the stop, or another error, is on its way
            log.warning("A source could not be closed: %s", type(error).__name__)
