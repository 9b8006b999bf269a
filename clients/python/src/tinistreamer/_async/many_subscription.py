"""The asynchronous subscription to several streams."""

from __future__ import annotations

from typing import Any

from .._changes import Change
from .._errors import SubscriptionOver
from .._events import KeyedEvent
from .._follower import Follower
from .._many_positions import ManyStreams
from .._missed import MissedTotal
from .._reason import Reason
from .._status import Status
from .credentials import AsyncCredentials
from .iteration import AsyncConnect, AsyncIteration
from .signalling import AsyncSignalling


class AsyncManySubscription(AsyncIteration[KeyedEvent]):
    """Yields the events of several streams, each stream in order. Use it in an `async with` block.

    It works as `AsyncSubscription` does. Any task may use `add`, `drop` and `cursor`, also the one
    that iterates. The iteration ends when all streams are finished or gone. Without any stream it
    waits until a caller adds one.
    """

    def __init__(
        self,
        follower: Follower[ManyStreams],
        credentials: AsyncCredentials,
        connect: AsyncConnect,
        signalling: AsyncSignalling,
    ) -> None:
        super().__init__(follower, credentials, connect)
        self._many = follower.streams
        self._signalling = signalling

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
    def reasons(self) -> dict[str, Reason | None]:
        """What the last event of each stream says: of `cancel`, `fail` or `abandon`.

        None while the stream is not finished, when it has ended, and when nobody gave a reason.
        """
        return self._many.reasons

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

    async def signal(self, key: str, name: str, data: Any = None) -> int:
        """Sends a signal to the producer of a stream. It works as that of `AsyncSubscription`."""
        return await self._signalling.send(key, name, data)

    async def request_stop(self, key: str) -> int | None:
        """Asks the producer of a stream to stop. It works as that of `AsyncSubscription`."""
        return await self._signalling.request_stop(key)

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
