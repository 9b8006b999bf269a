"""One interface over the synchronous and the asynchronous one, so that a test covers both."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from tinistreamer import (
    AsyncClient,
    Client,
    Event,
    KeyedEvent,
    asubscribe,
    asubscribe_many,
    subscribe,
    subscribe_many,
)

DEADLINE = 120.0
"""Seconds after which an endless wait fails. Long: a busy machine must only make tests slower."""

Steps = list[tuple[Any, ...]]

Reactions = dict[tuple[str, str], Steps]
"""What a loop does after an event, by the stream and the data (or the name) of the event.

Each step is a call, `("add", key, options)` or `("drop", key)`.
"""


class Api(Protocol):
    """The operations that the tests need."""

    def call(self, url: str, api_key: str, method: str, /, *arguments: Any, **options: Any) -> Any:
        """Calls a management method."""
        ...

    def publish(
        self, url: str, api_key: str, key: str, steps: Steps, **options: Any
    ) -> tuple[int, int]:
        """Runs steps in a writer's block: calls, or methods such as `("write", event, data)`.

        Returns how many events are acknowledged, and how many are pending.
        """
        ...

    def follow(
        self, url: str, token: Any, seen: Callable[[Event], object] = ..., **options: Any
    ) -> tuple[list[Event], str | None]:
        """Reads to the end. Returns the events and the status."""
        ...

    def follow_many(
        self, url: str, keys: list[str], token: Any, react: Reactions | None = ..., **options: Any
    ) -> tuple[list[KeyedEvent], dict[str, str | None], str | None]:
        """Reads to the end and reacts to events. Returns events, statuses and the cursor."""
        ...


class Sync:
    """The synchronous interface."""

    def call(self, url: str, api_key: str, method: str, /, *arguments: Any, **options: Any) -> Any:
        with Client(url, api_key) as client:
            return getattr(client, method)(*arguments, **options)

    def publish(
        self, url: str, api_key: str, key: str, steps: Steps, **options: Any
    ) -> tuple[int, int]:
        with Client(url, api_key, timeout=1.5) as client, client.publish(key, **options) as writer:
            for what, *arguments in steps:
                if callable(what):
                    what(*arguments)
                else:
                    getattr(writer, what)(*arguments)
        return writer.acknowledged, writer.pending

    def follow(
        self, url: str, token: Any, seen: Callable[[Event], object] = lambda _: None, **options: Any
    ) -> tuple[list[Event], str | None]:
        events: list[Event] = []
        with subscribe(url, token, **options) as subscription:
            for event in subscription:
                events.append(event)
                seen(event)
        return events, subscription.status

    def follow_many(
        self, url: str, keys: list[str], token: Any, react: Reactions | None = None, **options: Any
    ) -> tuple[list[KeyedEvent], dict[str, str | None], str | None]:
        events: list[KeyedEvent] = []
        left = dict(react or {})
        with subscribe_many(url, keys, token, **options) as subscription:
            for event in subscription:
                events.append(event)
                for what, *arguments in left.pop((event.key, event.data or event.event), []):
                    if callable(what):
                        what(*arguments)
                    else:
                        key, *more = arguments
                        getattr(subscription, what)(key, **(more[0] if more else {}))
        return events, dict(subscription.statuses), subscription.cursor


class Async:
    """The asynchronous interface."""

    def call(self, url: str, api_key: str, method: str, /, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(url, api_key) as client:
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(run())

    def publish(
        self, url: str, api_key: str, key: str, steps: Steps, **options: Any
    ) -> tuple[int, int]:
        async def run() -> tuple[int, int]:
            async with AsyncClient(url, api_key, timeout=1.5) as client:
                async with client.publish(key, **options) as writer:
                    for what, *arguments in steps:
                        if callable(what):
                            what(*arguments)
                        else:
                            await getattr(writer, what)(*arguments)
                return writer.acknowledged, writer.pending

        return asyncio.run(run())

    def follow(
        self, url: str, token: Any, seen: Callable[[Event], object] = lambda _: None, **options: Any
    ) -> tuple[list[Event], str | None]:
        async def run() -> tuple[list[Event], str | None]:
            events: list[Event] = []
            async with asubscribe(url, token, **options) as subscription:
                async for event in subscription:
                    events.append(event)
                    seen(event)
            return events, subscription.status

        return asyncio.run(run())

    def follow_many(
        self, url: str, keys: list[str], token: Any, react: Reactions | None = None, **options: Any
    ) -> tuple[list[KeyedEvent], dict[str, str | None], str | None]:
        async def run() -> tuple[list[KeyedEvent], dict[str, str | None], str | None]:
            events: list[KeyedEvent] = []
            left = dict(react or {})
            async with asubscribe_many(url, keys, token, **options) as subscription:
                async for event in subscription:
                    events.append(event)
                    for what, *arguments in left.pop((event.key, event.data or event.event), []):
                        if callable(what):
                            what(*arguments)
                        else:
                            key, *more = arguments
                            await getattr(subscription, what)(key, **(more[0] if more else {}))
            return events, dict(subscription.statuses), subscription.cursor

        return asyncio.run(run())


def in_background(call: Callable[[], Any]) -> Future[Any]:
    """Runs something in a thread of its own."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits; fails at the deadline."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
