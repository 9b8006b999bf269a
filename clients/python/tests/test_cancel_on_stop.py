"""A stop that cancels the task of a writer's block, as `asyncio.timeout` does it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest
from conftest import Server
from interfaces import DEADLINE

from tinistreamer import AsyncClient, AsyncWriter, Client, Stopped
from tinistreamer._tasks import interruption
from tinistreamer._tasks.interruption import AsyncInterruption


@pytest.fixture(params=[True, False], ids=["counted", "by-message"])
def _python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.10 does not count the cancellations of a task."""
    if request.param and sys.version_info < (3, 11):
        pytest.skip("This Python does not count")
    monkeypatch.setattr(interruption, "_COUNTS", request.param)


pytestmark = pytest.mark.usefixtures("_python")


def run(make: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(make(), DEADLINE)

    return asyncio.run(limited())


def counts() -> bool:
    return interruption._COUNTS  # pyright: ignore[reportPrivateUsage]


def cancelling() -> int:
    """Returns how many cancellations the current task has not taken yet."""
    task = asyncio.current_task()
    count = cast("Callable[[], int] | None", getattr(task, "cancelling", None))
    return count() if count is not None and counts() else 0


async def block(code: AsyncInterruption, inside: Callable[[], Awaitable[object]]) -> bool:
    """Runs something as a writer's block does. Returns whether it was interrupted."""
    code.enter()
    try:
        await inside()
    except BaseException as error:
        if code.leave(error):
            return True
        raise
    code.leave(None)
    return False


async def soon(*calls: Callable[[], object]) -> None:
    """Waits for ever, and makes calls meanwhile, all at once."""
    loop = asyncio.get_running_loop()
    for call in calls:
        loop.call_soon(call)
    await asyncio.Event().wait()


def test_an_interruption_ends_at_the_block_and_the_task_goes_on() -> None:
    async def check() -> None:
        code = AsyncInterruption()
        assert await block(code, lambda: soon(code.interrupt))
        assert cancelling() == 0
        await asyncio.sleep(0)
        # Again, with the same object, also where the task waits for another one.
        inner = asyncio.create_task(soon(code.interrupt))
        assert await block(code, lambda: inner)
        assert inner.cancelled()

    run(check)


def test_another_cancellation_goes_on() -> None:
    async def check() -> None:
        task = asyncio.current_task()
        assert task is not None
        code = AsyncInterruption()
        with pytest.raises(asyncio.CancelledError):
            await block(code, lambda: soon(task.cancel))
        # It comes before the other one is delivered.
        with pytest.raises(asyncio.CancelledError):
            await block(code, lambda: soon(task.cancel, code.interrupt))

    run(check)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Only a count shows the second one")
def test_another_cancellation_after_the_interruption_goes_on() -> None:
    if not counts():
        pytest.skip("Only a count shows the second one")

    async def check() -> None:
        task = asyncio.current_task()
        assert task is not None
        code = AsyncInterruption()
        with pytest.raises(asyncio.CancelledError):
            await block(code, lambda: soon(code.interrupt, task.cancel))

    run(check)


def test_code_that_has_ended_is_not_interrupted_and_neither_is_its_own_task() -> None:
    async def check() -> None:
        code = AsyncInterruption()

        async def interrupt_itself() -> None:
            code.interrupt()
            await asyncio.sleep(0)

        assert not await block(code, interrupt_itself)
        asyncio.get_running_loop().call_soon(code.interrupt)
        await asyncio.sleep(0.01)

    run(check)


def test_another_error_of_the_code_goes_on() -> None:
    async def check() -> None:
        code = AsyncInterruption()

        async def inside() -> None:
            try:
                await soon(code.interrupt)
            finally:
                raise KeyError

        with pytest.raises(KeyError):
            await block(code, inside)
        assert cancelling() == 0
        await asyncio.sleep(0)

    run(check)


def publish(
    server: Server, client: Client, key: str, inside: Callable[[AsyncWriter], Awaitable[object]]
) -> list[tuple[str, str | None]]:
    """Runs something in the block of a writer. Returns the events, and checks the task."""
    client.create_stream(key, stop_grace=600)

    async def check() -> None:
        async with AsyncClient(server.url, server.api_key) as backend:
            async with backend.publish(key, cancel_on_stop=True) as writer:
                await inside(writer)
            assert cancelling() == 0
            await asyncio.sleep(0)

    run(check)
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


BY_KEY = ("cancel", '{"reason":"stop","by":"api-key"}')


def test_a_stop_cancels_the_task_and_the_block_takes_the_cancellation(
    server: Server, client: Client, key: str
) -> None:
    cleaned: list[str] = []

    async def inside(writer: AsyncWriter) -> None:
        await writer.write("token", "x")
        client.send_signal(key, "stop")
        try:
            await asyncio.Event().wait()
        finally:
            # One cancellation only: what follows is not disturbed.
            await asyncio.sleep(0.05)
            cleaned.append("cleaned")

    assert publish(server, client, key, inside) == [("token", "x"), BY_KEY]
    assert cleaned == ["cleaned"]


def test_a_stream_that_is_cancelled_elsewhere_cancels_the_task_too(
    server: Server, client: Client, key: str
) -> None:
    async def inside(writer: AsyncWriter) -> None:
        await writer.flush()
        client.cancel_stream(key)
        await asyncio.Event().wait()

    assert publish(server, client, key, inside) == [("cancel", None)]


def test_a_pipe_and_a_write_that_wait_end_with_the_stop(
    server: Server, client: Client, key: str
) -> None:
    async def silent() -> AsyncGenerator[str, None]:
        yield "x"
        await asyncio.Event().wait()

    async def inside(writer: AsyncWriter) -> None:
        asyncio.get_running_loop().call_later(0.1, client.send_signal, key, "stop")
        await writer.pipe_from(silent())

    assert publish(server, client, key, inside) == [("token", "x"), BY_KEY]


def test_a_stop_that_was_heard_before_the_block_cancels_its_task(
    server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)

    async def check() -> None:
        async with AsyncClient(server.url, server.api_key) as backend:
            writer = backend.publish(key, cancel_on_stop=True)
            client.send_signal(key, "stop")
            assert await writer.stopped() is not None
            async with writer:
                await asyncio.Event().wait()
            assert cancelling() == 0

    run(check)


def test_a_cancellation_of_the_task_by_another_goes_on_and_the_stream_was_interrupted(
    server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)

    async def produce(entered: asyncio.Event) -> None:
        async with (
            AsyncClient(server.url, server.api_key) as backend,
            backend.publish(key, cancel_on_stop=True) as writer,
        ):
            await writer.write("token", "x")
            entered.set()
            await asyncio.Event().wait()

    async def check() -> None:
        entered = asyncio.Event()
        task = asyncio.create_task(produce(entered))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(check)
    assert [(event.event, event.data) for event in client.stream_events(key)][1:] == [
        ("token", "x"),
        ("fail", '{"code":"interrupted","message":"The producer was interrupted"}'),
    ]


def test_the_own_cancel_of_a_writer_cancels_no_task(
    server: Server, client: Client, key: str
) -> None:
    async def inside(writer: AsyncWriter) -> None:
        await writer.stopped(0.05)
        await writer.cancel()
        await asyncio.sleep(0.2)

    assert publish(server, client, key, inside) == [("cancel", None)]


def test_an_error_that_hides_the_cancellation_ends_at_the_block_as_well(
    server: Server, client: Client, key: str
) -> None:
    async def inside(writer: AsyncWriter) -> None:
        del writer
        client.send_signal(key, "stop")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Stopped(0) from None

    assert publish(server, client, key, inside) == [BY_KEY]


def test_the_synchronous_interface_has_no_such_option(client: Client, key: str) -> None:
    publish: Any = client.publish
    with pytest.raises(TypeError, match="cancel_on_stop"):
        publish(key, cancel_on_stop=True)
