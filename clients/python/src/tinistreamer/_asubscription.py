"""The asynchronous subscriptions."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from ._changes import Change
from ._errors import EventsMissed, Gap, SubscriptionOver, TinistreamerError
from ._events import Event, KeyedEvent
from ._follower import Follower, closed_early
from ._frames import Frame
from ._line import Line
from ._many_positions import ManyStreams
from ._missed import MissedTotal
from ._positions import OneStream, Streams
from ._sequence import Outcome, Status

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E", bound=Event)

Connect = Callable[[Follower[Streams[Event]], Line], AsyncGenerator[list[Frame], None]]
"""Makes a connection and reads from it; what comes first says that it is made."""
Token = Callable[[], str | Awaitable[str]]


class _Iteration(Generic[E]):
    """Reads what a subscription follows. Whoever waits for something takes the next step; others wait for its outcome."""

    def __init__(
        self, follower: Follower[Streams[E]], token: Token | None, connect: Connect
    ) -> None:
        self._streams = follower.streams
        self._line = line = Line()
        self._turn: asyncio.Future[None] | None = None
        self._is_finished = False
        self._failure: Exception | None = None
        # Not a method: a generator that referred to this object would outlive a loop that was left.
        self._begin = partial(_steps, follower, token, connect, line)
        self._steps = self._begin()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while True:
            await self._until(lambda: self._streams.has_frames)
            if not self._streams.has_frames:
                raise StopAsyncIteration
            try:
                event = self._streams.take()
            except Gap:
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
        self._is_finished = True
        await self._steps.aclose()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Takes steps until it holds, or to the end. Raises what ended it."""
        while not (holds() or self._is_finished):
            if self._turn is not None:
                # Unlike awaiting it, this does not pass a cancellation on.
                await asyncio.wait([self._turn])
                continue
            self._turn = turn = asyncio.get_running_loop().create_future()
            try:
                await anext(self._steps)
            except StopAsyncIteration:
                self._is_finished = True
            except asyncio.CancelledError:
                # The connection is closed. Whoever goes on makes another.
                self._steps = self._begin()
                raise
            except Exception as error:
                self._is_finished, self._failure = True, error
                raise
            finally:
                self._turn = None
                turn.set_result(None)
        if self._failure is not None and not holds():
            raise self._failure


class AsyncSubscription(_Iteration[Event]):
    """The events of a stream, in order: an asynchronous iterator, best used in an `async with` block.

    It connects when the first event is asked for. Raises `ApiError`, `Disconnected`, `DisconnectedByOperator` and `Gap`; other
    failures are got over by connecting again. Cancelling the task that iterates closes the connection.
    """

    def __init__(
        self, follower: Follower[OneStream], token: Token | None, connect: Connect
    ) -> None:
        super().__init__(follower, token, connect)
        self._sequence = follower.streams.sequence

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was handed out, or of a later one that was filtered; before that, `after`."""
        return self._sequence.position

    @property
    def status(self) -> Outcome | None:
        """`ended` or `cancelled` once that event was handed out."""
        return self._sequence.status

    @property
    def missed(self) -> MissedTotal | None:
        """The events that are missing so far: they were no longer stored. None while none is."""
        return self._sequence.missed.total

    async def collect(self, *, allow_missed: bool = False) -> list[Event]:
        """All events up to the end of the stream. Raises `EventsMissed` when some are no longer stored, unless allowed."""
        events: list[Event] = []
        async with self:
            async for event in self:
                if event.missed is not None and not allow_missed:
                    raise EventsMissed(event.missed.missed, event.missed.after)
                events.append(event)
        return events

    async def text(self, event: str = "token", *, allow_missed: bool = False) -> str:
        """The text of the whole stream: the data of its events of one name. Raises `EventsMissed` as `collect` does.

        `status` says afterwards whether the stream was ended or cancelled.
        """
        return "".join(
            found.data
            for found in await self.collect(allow_missed=allow_missed)
            if found.event == event
        )


class AsyncManySubscription(_Iteration[KeyedEvent]):
    """The events of several streams, those of each in order: an asynchronous iterator, best used in an `async with` block.

    As `AsyncSubscription`. `add`, `drop` and `cursor` may be used by any task, that of the loop among them.
    It is over when all streams have ended or are gone; with no stream left it waits for one to be added.
    """

    def __init__(
        self, follower: Follower[ManyStreams], token: Token | None, connect: Connect
    ) -> None:
        super().__init__(follower, token, connect)
        self._many = follower.streams

    @property
    def cursor(self) -> str | None:
        """Where it is in all streams, by what was handed out: the `after` of another subscription, over any transport."""
        return self._many.cursor

    @property
    def statuses(self) -> dict[str, Status | None]:
        """Of each stream whether it is `active`, or what became of it: `ended`, `cancelled`, `gone`.

        None: it is finished, and there was nothing after the position.
        """
        return self._many.statuses

    @property
    def missed(self) -> MissedTotal | None:
        """The events that are missing so far, in all streams that were not dropped. None while none is."""
        return self._many.missed

    async def add(
        self,
        key: str,
        *,
        after: str | None = None,
        from_: str | None = None,
        wait: bool | None = None,
    ) -> None:
        """Follows one more stream, after an event's id, or from where `from_` says. Returns when the broker has agreed.

        `from_` and `wait` are the subscription's unless they are given.
        Raises `Refused`, after which the subscription goes on as it was, `SubscriptionOver`, and what ends the subscription
        meanwhile.
        """
        await self._settle(self._many.add(key, after=after, from_=from_, wait=wait))

    async def drop(self, key: str) -> str | None:
        """Follows a stream no longer: no event of it is handed out after the return. Returns the id of the last one that was.

        Raises as `add` does.
        """
        return (await self._settle(self._many.drop(key))).position

    async def _settle(self, change: Change) -> Change:
        if not change.is_command:
            self._line.interrupt()
        elif ask := self._line.ask:
            await ask(change.command)
        await self._until(lambda: change.is_settled)
        if not change.is_settled:
            raise SubscriptionOver
        if change.error is not None:
            raise change.error
        return change


async def _steps(
    follower: Follower[Streams[E]], token: Token | None, connect: Connect, line: Line
) -> AsyncGenerator[None, None]:
    while not follower.streams.is_over:
        line.begin()
        if follower.streams.is_idle:
            follower.rest()
            await line.wait_for_change()
            continue
        if follower.token is None and token is not None:
            made = token()
            follower.set_new_token(await made if inspect.isawaitable(made) else made)
        try:
            async with aclosing(connect(follower, line)) as batches:
                while (frames := await line.next(batches)) is not None:
                    follower.receive(frames)
                    yield
                    # Time that the caller took for an event is no silence.
                    follower.record_activity()
                    if follower.streams.is_over or line.is_interrupted:
                        break
                if not (follower.streams.is_over or line.is_interrupted):
                    raise closed_early("it just ended")
        except TinistreamerError as error:
            if not line.is_interrupted:
                await asyncio.sleep(follower.failed(error))
        finally:
            follower.streams.disconnected()
