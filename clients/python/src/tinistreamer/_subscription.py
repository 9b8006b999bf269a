"""The synchronous subscriptions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from ._changes import Change
from ._errors import EventsMissed, Gap, SubscriptionOver, TinistreamerError
from ._events import Event, KeyedEvent
from ._follower import Follower, closed_early
from ._frames import Frame
from ._link import Link
from ._many_positions import ManyStreams
from ._missed import MissedTotal
from ._positions import OneStream, Streams
from ._sequence import Outcome, Status

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E", bound=Event)

Connect = Callable[[Follower[Streams[Event]], Link], Generator[list[Frame], None, None]]
"""Makes a connection and reads from it; what comes first says that it is made."""


class _Iteration(Generic[E]):
    """Reads what a subscription follows. Whoever waits for something takes the next step; others wait for its outcome."""

    def __init__(
        self, follower: Follower[Streams[E]], token: Callable[[], str] | None, connect: Connect
    ) -> None:
        self._streams = follower.streams
        self._link = Link()
        self._turn = threading.Condition()
        self._is_stepping = False
        self._is_finished = False
        self._failure: Exception | None = None
        # Not a method: a generator that referred to this object would outlive a loop that was left.
        self._steps = _steps(follower, token, connect, self._link)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        while True:
            self._until(lambda: self._streams.has_frames)
            if self._link.is_closed or not self._streams.has_frames:
                raise StopIteration
            try:
                event = self._streams.take()
            except Gap:
                self.close()
                raise
            if event is not None:
                return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; an iteration in another thread ends."""
        with self._turn:
            was_closed, is_stepping = self._link.is_closed, self._is_stepping
            self._link.close()
            self._turn.notify_all()
        if not was_closed and not is_stepping:
            self._steps.close()

    def _until(self, holds: Callable[[], bool]) -> None:
        """Takes steps until it holds, or to the end. Raises what ended it."""
        while self._may_step(holds):
            try:
                next(self._steps)
            except StopIteration:
                self._is_finished = True
            except Exception as error:
                self._is_finished, self._failure = True, error
                raise
            finally:
                with self._turn:
                    self._is_stepping = False
                    self._turn.notify_all()
                if self._link.is_closed:
                    self._steps.close()
        if self._failure is not None and not holds():
            raise self._failure

    def _may_step(self, holds: Callable[[], bool]) -> bool:
        with self._turn:
            while not (holds() or self._is_finished or self._link.is_closed):
                if not self._is_stepping:
                    self._is_stepping = True
                    return True
                self._turn.wait()
            return False


class Subscription(_Iteration[Event]):
    """The events of a stream, in order: an iterator, best used in a `with` block.

    It connects when the first event is asked for. Raises `ApiError`, `Disconnected`, `DisconnectedByOperator` and `Gap`; other
    failures are got over by connecting again. One thread at a time may iterate; `close` may be called by any.
    """

    def __init__(
        self, follower: Follower[OneStream], token: Callable[[], str] | None, connect: Connect
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

    def collect(self, *, allow_missed: bool = False) -> list[Event]:
        """All events up to the end of the stream. Raises `EventsMissed` when some are no longer stored, unless allowed."""
        events: list[Event] = []
        with self:
            for event in self:
                if event.missed is not None and not allow_missed:
                    raise EventsMissed(event.missed.missed, event.missed.after)
                events.append(event)
        return events

    def text(self, event: str = "token", *, allow_missed: bool = False) -> str:
        """The text of the whole stream: the data of its events of one name. Raises `EventsMissed` as `collect` does.

        `status` says afterwards whether the stream was ended or cancelled.
        """
        return "".join(
            found.data for found in self.collect(allow_missed=allow_missed) if found.event == event
        )


class ManySubscription(_Iteration[KeyedEvent]):
    """The events of several streams, those of each in order: an iterator, best used in a `with` block.

    As `Subscription`. `add`, `drop` and `cursor` may be used by any thread, that of the loop among them.
    It is over when all streams have ended or are gone; with no stream left it waits for one to be added.
    """

    def __init__(
        self, follower: Follower[ManyStreams], token: Callable[[], str] | None, connect: Connect
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

    def add(
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
        self._settle(self._many.add(key, after=after, from_=from_, wait=wait))

    def drop(self, key: str) -> str | None:
        """Follows a stream no longer: no event of it is handed out after the return. Returns the id of the last one that was.

        Raises as `add` does.
        """
        return self._settle(self._many.drop(key)).position

    def _settle(self, change: Change) -> Change:
        if not change.is_command:
            self._link.interrupt()
        elif ask := self._link.ask:
            ask(change.command)
        self._until(lambda: change.is_settled)
        if not change.is_settled:
            raise SubscriptionOver
        if change.error is not None:
            raise change.error
        return change


def _steps(
    follower: Follower[Streams[E]], token: Callable[[], str] | None, connect: Connect, link: Link
) -> Generator[None, None, None]:
    while not (follower.streams.is_over or link.is_closed):
        link.begin()
        if follower.streams.is_idle:
            follower.rest()
            link.wait_for_change()
            continue
        if follower.token is None and token is not None:
            follower.set_new_token(token())
        try:
            with closing(connect(follower, link)) as batches:
                for frames in batches:
                    follower.receive(frames)
                    yield
                    # Time that the caller took for an event is no silence.
                    follower.record_activity()
                    if follower.streams.is_over or link.is_interrupted:
                        break
                else:
                    if not follower.streams.is_over:
                        raise closed_early("it just ended")
        except TinistreamerError as error:
            if link.is_closed:
                return
            if not link.is_interrupted:
                link.wait(follower.failed(error))
        finally:
            follower.streams.disconnected()
