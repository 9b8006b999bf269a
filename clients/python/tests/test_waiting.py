"""Waits with a timeout, with asyncio."""

from __future__ import annotations

import asyncio

from interfaces import DEADLINE

from tinistreamer._tasks.concurrency import wait_for


def test_a_wait_ends_at_its_timeout_also_while_others_notify_all_the_time() -> None:
    async def notify(condition: asyncio.Condition) -> None:
        while True:
            async with condition:
                condition.notify_all()
            await asyncio.sleep(0)

    async def wait() -> None:
        condition = asyncio.Condition()
        notifying = asyncio.create_task(notify(condition))
        try:
            for timeout in (0, 0.01):
                async with condition:
                    await wait_for(condition, lambda: False, timeout)
                    assert condition.locked()
        finally:
            notifying.cancel()

    asyncio.run(asyncio.wait_for(wait(), DEADLINE))


def test_a_wait_ends_when_the_condition_holds() -> None:
    async def wait() -> None:
        condition = asyncio.Condition()
        is_held = False

        async def hold() -> None:
            nonlocal is_held
            async with condition:
                is_held = True
                condition.notify_all()

        async with condition:
            holding = asyncio.create_task(hold())
            await wait_for(condition, lambda: is_held, None)
            assert is_held
        await holding

    asyncio.run(asyncio.wait_for(wait(), DEADLINE))
