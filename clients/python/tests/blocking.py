"""The asynchronous interface with blocking calls, so that one test covers both interfaces."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
from interfaces import DEADLINE

from tinistreamer import (
    Answers,
    AsyncAnswers,
    AsyncClient,
    Client,
    asubscribe,
    asubscribe_many,
    subscribe,
    subscribe_many,
)

Kind = str
"""`sync` or `async`."""


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, awaitable: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(DEADLINE)

    def close(self) -> None:
        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # As `asyncio.run` does it. A generator that was dropped is closed in the next turn.
            await asyncio.sleep(0)
            await asyncio.get_running_loop().shutdown_asyncgens()

        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()


class Blocking:
    """Calls the methods of an asynchronous object, and waits for their results."""

    def __init__(self, loop: Loop, target: Any) -> None:
        self._loop = loop
        self._target = target

    def __getattr__(self, name: str) -> Any:
        if name == "close" and not hasattr(self._target, name):
            name = "aclose"
        found = getattr(self._target, name)
        return self._calling(found) if inspect.ismethod(found) else found

    def _calling(self, method: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            if inspect.isawaitable(result):
                return self._loop.run(result)
            return Blocking(self._loop, result) if hasattr(result, "__anext__") else result

        return call

    def __enter__(self) -> Blocking:
        self._loop.run(self._target.__aenter__())
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        return self._loop.run(self._target.__aexit__(kind, error, traceback))

    def __iter__(self) -> Blocking:
        return self

    def __next__(self) -> Any:
        try:
            return self._loop.run(self._target.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None


class Backend:
    """Makes writers and subscriptions of one interface."""

    def __init__(self, kind: Kind) -> None:
        self.is_async = kind == "async"
        self._loop = Loop() if self.is_async else None
        self._clients: list[Any] = []
        self._subscriptions: list[Any] = []

    def _wrapped(self, target: Any) -> Any:
        return target if self._loop is None else Blocking(self._loop, target)

    def blocking(self, target: Any) -> Any:
        """Returns an object of this interface with blocking calls."""
        return self._wrapped(target)

    def keep(self, client: Any) -> Any:
        """Closes a client of another package at the end of the test."""
        self._clients.append(client)
        return client

    def http_client(self, **options: Any) -> Any:
        return httpx.AsyncClient(**options) if self.is_async else httpx.Client(**options)

    def publish(self, url: str, api_key: str, key: str, **options: Any) -> Any:
        """Returns a writer. Its client stays open until the end of the test."""
        more = {name: options.pop(name) for name in ("timeout", "http_client") if name in options}
        client = (
            AsyncClient(url, api_key, **more) if self.is_async else Client(url, api_key, **more)
        )
        self._clients.append(client)
        return self._wrapped(client.publish(key, **options))

    def answers(self, **options: Any) -> Any:
        """Returns answers. They are closed at the end of the test."""
        answers: Any = AsyncAnswers(**options) if self.is_async else Answers(**options)
        self._clients.append(answers)
        return self._wrapped(answers)

    def call(self, function: Callable[[], object]) -> None:
        """Calls a function where the answers run: in the event loop, if there is one."""

        async def run() -> None:
            function()

        if self._loop is None:
            function()
        else:
            self._loop.run(run())

    def subscribe(self, *arguments: Any, **options: Any) -> Any:
        make: Any = asubscribe if self.is_async else subscribe
        return self._followed(make(*arguments, **options))

    def subscribe_many(self, *arguments: Any, **options: Any) -> Any:
        make: Any = asubscribe_many if self.is_async else subscribe_many
        return self._followed(make(*arguments, **options))

    def _followed(self, subscription: Any) -> Any:
        self._subscriptions.append(subscription)
        return self._wrapped(subscription)

    def close(self) -> None:
        for each in (*self._subscriptions, *self._clients):
            if self._loop is None:
                each.close()
            else:
                self._loop.run((getattr(each, "aclose", None) or each.close)())
        if self._loop is not None:
            self._loop.close()


@contextmanager
def backend_of(kind: Kind) -> Generator[Backend]:
    backend = Backend(kind)
    try:
        yield backend
    finally:
        backend.close()
