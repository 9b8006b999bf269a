"""The asynchronous subscription to several streams."""

from __future__ import annotations

from .._changes import Change
from .._errors import SubscriptionOver
from .._events import KeyedEvent
from .._follower import Follower
from .._many_positions import ManyStreams
from .._missed import MissedTotal
from .._status import Status
from .._tasks.concurrency import AsyncTokenSource
from .iteration import AsyncConnect, AsyncIteration


class AsyncManySubscription(AsyncIteration[KeyedEvent]):
    """Yields the events of several streams, each stream in order. Use it in an `async with` block.

    It works as `AsyncSubscription` does. Any task may use `add`, `drop` and `cursor`, also the one
    that iterates. The iteration ends when all streams are finished or gone. Without any stream it
    waits until a caller adds one.
    """

    def __init__(
        self,
        follower: Follower[ManyStreams],
        token: AsyncTokenSource | None,
        connect: AsyncConnect,
    ) -> None:
        super().__init__(follower, token, connect)
        self._many = follower.streams

    @property
    def cursor(self) -> str | None:
        """The position in all streams, after the last event that was yielded.

        It is the `after` of another subscription, over any transport.
        """
        return self._many.cursor

    @property
    def statuses(self) -> dict[str, Status | None]:
        """The status of each stream.

        It is `active`, `ended`, `cancelled`, `failed`, `abandoned` or `gone`.
        None: the stream is finished, and no event followed the position.
        """
        return self._many.statuses

    @property
    def missed(self) -> MissedTotal | None:
        """The events that are missing so far, in all streams that were not dropped.

        None while none is missing.
        """
        return self._many.missed

    async def add(
        self,
        key: str,
        *,
        after: str | None = None,
        from_: str | None = None,
        wait: bool | None = None,
    ) -> None:
        """Follows one more stream, after an event's id, or from the start position `from_`.

        Returns when the broker has accepted the stream. Without `from_` and `wait`, those of the
        subscription apply. Raises `Refused`, after which the subscription goes on as before,
        `SubscriptionOver`, and an error that ends the subscription meanwhile.
        """
        await self._settle(self._many.add(key, after=after, from_=from_, wait=wait))

    async def drop(self, key: str) -> str | None:
        """Stops following a stream. The subscription yields no event of it after the return.

        Returns the id of the last event that it yielded. Raises as `add` does.
        """
        return (await self._settle(self._many.drop(key))).position

    async def _settle(self, change: Change) -> Change:
        if not change.is_command:
            self._connection.interrupt()
        elif send_command := self._connection.send_command:
            await send_command(change.command)
        await self._run_until(lambda: change.is_settled)
        if not change.is_settled:
            raise SubscriptionOver
        if change.error is not None:
            raise change.error
        return change
