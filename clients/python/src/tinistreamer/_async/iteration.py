"""The loop that connects, reads frames and connects again, as an asynchronous iterator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from .._errors import Gap, TinistreamerError
from .._events import Event
from .._follower import Follower, closed_early
from .._frames import Frame
from .._positions import Streams
from .._tasks.concurrency import CANCELLED, AsyncTurns
from .._tasks.connection import AsyncConnection
from .credentials import AsyncCredentials

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E", bound=Event)

AsyncConnect = Callable[
    [Follower[Streams[Event]], AsyncConnection], AsyncGenerator[list[Frame], None]
]
"""Makes a connection and yields its frames. The first item, without frames, means: connected."""


class AsyncIteration(Generic[E]):
    """Yields the events of a subscription.

    The caller that waits for something takes the next step of the loop. Other callers wait for the
    outcome of that step.
    """

    def __init__(
        self,
        follower: Follower[Streams[E]],
        credentials: AsyncCredentials,
        connect: AsyncConnect,
    ) -> None:
        self._streams = follower.streams
        self._reporter = follower.reporter
        self._connection = connection = AsyncConnection()
        self._turns = AsyncTurns()
        self._is_finished = False
        self._failure: Exception | None = None
        # Not a method: a generator that refers to this object would outlive an abandoned loop.
        self._begin = partial(_steps, follower, credentials, connect, connection)
        self._steps = self._begin()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while True:
            await self._run_until(lambda: self._streams.has_frames)
            if self._connection.is_closed or not self._streams.has_frames:
                raise StopAsyncIteration
            try:
                event = self._streams.take()
            except Gap as gap:
                self._reporter.closed(gap)
                await self.aclose()
                raise
            if event is not None:
                return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection. To end an iteration in another task, cancel that task."""
        self._connection.close()
        if self._turns.close():
            await self._steps.aclose()
        self._reporter.closed()

    async def _run_until(self, holds: Callable[[], bool]) -> None:
        """Takes steps until `holds`, or until the end. Raises the error that ended the loop."""
        while await self._turns.take(lambda: not (holds() or self._is_finished)):
            try:
                await anext(self._steps)
            except StopAsyncIteration:
                self._is_finished = True
                self._reporter.closed()
            except CANCELLED:
                # The connection is closed. The next step makes another.
                self._steps = self._begin()
                raise
            except Exception as error:
                self._is_finished, self._failure = True, error
                self._reporter.closed(error)
                raise
            finally:
                if self._turns.end():
                    await self._steps.aclose()
        if self._failure is not None and not holds():
            raise self._failure


async def _steps(
    follower: Follower[Streams[E]],
    credentials: AsyncCredentials,
    connect: AsyncConnect,
    connection: AsyncConnection,
) -> AsyncGenerator[None, None]:
    """Yields after each step: when connected, and when frames have arrived."""
    streams = follower.streams
    while not (streams.is_over or connection.is_closed):
        connection.begin()
        if streams.is_idle:
            follower.rest()
            await connection.wait_for_change()
            continue
        await credentials.obtain(follower)
        follower.reporter.connecting()
        try:
            async with aclosing(connect(follower, connection)) as batches:
                while (frames := await connection.next(batches)) is not None:
                    follower.receive(frames)
                    yield
                    # The time that the caller spends on an event does not count as silence.
                    follower.record_activity()
                    if streams.is_over or connection.is_interrupted:
                        break
                if not (streams.is_over or connection.is_interrupted):
                    raise closed_early("it just ended")
            # The streams are over, or were changed: that is no failure.
            follower.reporter.end_row()
        except TinistreamerError as error:
            if connection.is_interrupted:
                follower.reporter.end_row()
            else:
                await connection.wait(follower.failed(error))
        finally:
            streams.disconnected()
