"""The token of a subscription, and where the next one comes from."""

from __future__ import annotations

from .._access import AnyAccess, check_access, check_token
from .._events import Event
from .._follower import Follower
from .._positions import Streams
from .._request import URL_MISSING
from .._tasks.concurrency import AsyncAccessSource, AsyncLock, AsyncTokenSource, get


class AsyncCredentials:
    """Gets the tokens of a subscription. Its connection and its signals share them."""

    def __init__(
        self,
        url: str | None,
        token: str | AsyncTokenSource | None,
        access: AnyAccess | AsyncAccessSource | None,
    ) -> None:
        if access is None and not url:
            raise TypeError(URL_MISSING)
        if access is None and not token:
            raise TypeError(
                "The token is missing: pass token, a token of the broker or a function that gets"
                " one, or pass access"
            )
        if access is not None and callable(token):
            raise TypeError("Beside access, token is a text and not a function")
        self._ask_for_token = token if callable(token) else None
        self._ask_for_access = access if callable(access) else None
        known = None if access is None or callable(access) else check_access(access)
        self.url = url or (known.url if known is not None else "")
        """The URL of the subscription; empty when only an access can bring it."""
        given = token if isinstance(token, str) and token else None
        self.first_token = given or (known.token if known is not None else None)
        """The token of the first connection; None: it must be asked for."""
        # Beside another token, the one of the access is the next.
        self._next_token = known.token if given and known is not None else None
        self._lock = AsyncLock()

    @property
    def can_ask(self) -> bool:
        """Whether there may be another token."""
        return bool(self._ask_for_token or self._ask_for_access or self._next_token)

    async def obtain(self, follower: Follower[Streams[Event]]) -> None:
        """Gets the URL and a token, where the subscription has none."""
        async with self._lock:
            if follower.token is None or not follower.streams.url:
                token = await self._next(follower)
                if follower.token is None:
                    follower.set_new_token(token)

    async def replace(self, follower: Follower[Streams[Event]], refused: str | None) -> None:
        """Gets a token in place of one that the broker has refused, unless there is one already."""
        async with self._lock:
            if follower.token in {refused, None}:
                follower.token = await self._next(follower)

    async def _next(self, follower: Follower[Streams[Event]]) -> str:
        if self._ask_for_token is not None:
            return check_token(await get(self._ask_for_token))
        if self._ask_for_access is None:
            return check_token(self._next_token)
        access = check_access(await get(self._ask_for_access))
        if not follower.streams.url:
            follower.streams.url = access.url
        return access.token
