"""The events of a model's stream, with threads."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any, cast

from .._generated.models import Event as NewEvent
from .._model_events import ModelStream
from .source import close_source

ModelSource = Iterable[Any] | AbstractContextManager[Iterable[Any]]
"""A stream of an SDK, or the context manager that opens one."""


class ModelEvents:
    """The events of a model's stream, for `pipe_from`. `close` ends the model, from any thread."""

    def __init__(self, source: ModelSource, stream: ModelStream) -> None:
        self._source = source
        self._stream = stream
        self._items: Iterator[Any] | None = None
        self._opened: list[object] = []
        # No more than the events of one item.
        self._ready: deque[NewEvent] = deque()
        self._is_over = False
        self._reader: int | None = None

    def __iter__(self) -> ModelEvents:
        return self

    def __next__(self) -> NewEvent:
        self._reader = threading.get_ident()
        while not self._ready:
            if self._is_over:
                raise StopIteration
            if self._items is None:
                self._items = self._open()
            try:
                item = next(self._items)
            except StopIteration:
                self._is_over = True
                self._ready.extend(self._stream.end())
            else:
                self._ready.extend(self._stream.take(item))
        return self._ready.popleft()

    def close(self) -> None:
        """Closes the connection to the model, so that it stops.

        In another thread than the one that reads, it only wakes that one, which closes the stream.
        """
        if self._reader not in {None, threading.get_ident()}:
            for opened in self._opened:
                _shut_down(opened)
            return
        self._is_over = True
        for opened in reversed([*self._opened] or [self._source]):
            close_source(opened)

    def _open(self) -> Iterator[Any]:
        source: Any = self._source
        if not hasattr(source, "__iter__"):
            manager: AbstractContextManager[Any] = source
            source = manager.__enter__()
            self._opened.append(_Entered(manager))
        self._opened.append(source)
        if hasattr(source, "__next__"):
            return cast("Iterator[Any]", source)
        items: Iterator[Any] = iter(source)
        self._opened.append(items)
        return items


class _Entered:
    """A context manager, whose end closes what it manages."""

    def __init__(self, manager: AbstractContextManager[Any]) -> None:
        self._manager = manager

    def close(self) -> None:
        """Leaves the context."""
        self._manager.__exit__(None, None, None)


def _shut_down(stream: object) -> None:
    """Shuts the connection of an SDK's stream down, which wakes the thread that reads from it."""
    response = getattr(stream, "response", None) or getattr(stream, "_response", None)
    # Other requests may use the same connection with HTTP/2.
    if response is None or getattr(response, "http_version", None) == "HTTP/2":
        return
    network = getattr(response, "extensions", {}).get("network_stream")
    if network is not None and (connection := network.get_extra_info("socket")) is not None:
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
