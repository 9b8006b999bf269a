"""The asynchronous subscription to one stream."""

from __future__ import annotations

from typing import Any

from .._errors import EventsMissed, StreamFailed
from .._events import Event
from .._follower import Follower
from .._missed import MissedTotal
from .._positions import OneStream
from .._reason import Reason
from .._status import Outcome
from .credentials import AsyncCredentials
from .iteration import AsyncConnect, AsyncIteration
from .signalling import AsyncSignalling


class AsyncSubscription(AsyncIteration[Event]):
    """Yields the events of a stream in order. Use it in an `async with` block.

    It is an asynchronous iterator, and connects when a caller asks for the first event.
    It connects again after a failure, except those that it raises:
    `ApiError`, `Disconnected`, `DisconnectedByOperator` and `Gap`.
    Cancelling the task that iterates closes the connection.
    """

    def __init__(
        self,
        follower: Follower[OneStream],
        credentials: AsyncCredentials,
        connect: AsyncConnect,
        signalling: AsyncSignalling,
    ) -> None:
        super().__init__(follower, credentials, connect)
        self._sequence = follower.streams.sequence
        self._signalling = signalling

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was yielded or filtered; before that, `after`."""
        return self._sequence.position

    @property
    def status(self) -> Outcome | None:
        """How the stream was finished, after its last event was yielded; None before.

        It is `ended`, `cancelled`, `failed` or `abandoned`. Over server-sent events the last two
        come with the end of the iteration.
        """
        return self._sequence.status

    @property
    def reason(self) -> Reason | None:
        """What the last event says: of `cancel`, `fail` or `abandon`.

        None while the stream is not finished, when it has ended, and when nobody gave a reason.
        """
        return self._sequence.reason

    @property
    def missed(self) -> MissedTotal | None:
        """The events that are missing so far, because they were no longer stored.

        None while none is missing.
        """
        return self._sequence.missed.total

    async def signal(self, name: str, data: Any = None) -> int:
        """Sends a signal to the producer of the stream, and returns its number.

        It works before the first event and after the last one. The token must permit it. Tries
        again for 30 seconds; the broker stores the signal once. Raises `ApiError` and
        `Unreachable`, after which the subscription goes on. The producer may get a signal whose
        caller was interrupted.
        """
        return await self._signalling.send(None, name, data)

    async def request_stop(self) -> int | None:
        """Asks the producer to stop: sends the signal `stop`, as `signal` does.

        To ask again is a success, with the number of the first one. So is to ask for a stream that
        is finished: then the number is None.
        """
        return await self._signalling.request_stop()

    async def collect(self, *, allow_missed: bool = False) -> list[Event]:
        """Returns all events up to the end of the stream, with its last one.

        Raises `EventsMissed` when some are no longer stored, unless `allow_missed` is set.
        Afterwards `status` says how the stream was finished.
        """
        events: list[Event] = []
        async with self:
            async for event in self:
                if event.missed is not None and not allow_missed:
                    raise EventsMissed(event.missed.missed, event.missed.after)
                events.append(event)
        return events

    async def text(self, event: str = "token", *, allow_missed: bool = False) -> str:
        """Returns the text of the whole stream: the data of all events with this name.

        Raises `EventsMissed` as `collect` does, and `StreamFailed` when the stream failed or was
        abandoned. Otherwise `status` says afterwards whether it was ended or cancelled.
        """
        events = await self.collect(allow_missed=allow_missed)
        status = self.status
        if status in ("failed", "abandoned"):
            raise StreamFailed(status, events[-1] if events else None)
        return "".join(found.data for found in events if found.event == event)
