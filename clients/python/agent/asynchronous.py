"""The jobs of the agent over the asynchronous interface."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any, cast

from lines import (
    Left,
    addition_options,
    call_of,
    statuses_of,
    subscription_options,
    write,
    write_error,
    write_event,
    write_result,
    writer_options,
)

from tinistreamer import (
    AsyncClient,
    AsyncManySubscription,
    AsyncSubscription,
    AsyncWriter,
    InvalidEvent,
    Refused,
    TinistreamerError,
    asubscribe,
    asubscribe_many,
)

# Longer than any line of a job.
_LONGEST_LINE = 1 << 28


def run(job: dict[str, Any]) -> None:
    """Does the job."""
    jobs = {"subscribe": _subscribe, "publish": _publish, "manage": _manage, "text": _text}
    asyncio.run(jobs[job["job"]](job))


class _Lines:
    """The lines of the input after the job."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def of_input(cls) -> _Lines:
        reader = asyncio.StreamReader(_LONGEST_LINE)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        return cls(reader)

    async def next(self) -> dict[str, Any] | None:
        """Returns the next line; None at the end of the input."""
        line = await self._reader.readline()
        return cast("dict[str, Any]", json.loads(line)) if line else None


async def _subscribe(job: dict[str, Any]) -> None:
    tokens: asyncio.Queue[str] = asyncio.Queue()

    async def ask() -> str:
        write("token-wanted")
        return await tokens.get()

    token, options = job.get("token") or ask, subscription_options(job)
    events: AsyncSubscription | AsyncManySubscription
    if "keys" in job:
        events = asubscribe_many(job["url"], job["keys"], token, **options)
    else:
        events = asubscribe(job["url"], token, **options)
    following = asyncio.create_task(_follow(events, (job.get("pause_ms") or 0) / 1000))
    operations: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    lines = await _Lines.of_input()

    async def listen() -> None:
        while (line := await lines.next()) is not None:
            if "token" in line:
                tokens.put_nowait(line["token"])
            elif line["op"] == "stop":
                following.cancel()
            else:
                operations.put_nowait(line)

    async def operate(many: AsyncManySubscription) -> None:
        while True:
            await _operate(many, await operations.get())

    tasks = [asyncio.create_task(listen())]
    if isinstance(events, AsyncManySubscription):
        tasks.append(asyncio.create_task(operate(events)))
    try:
        await following
    except asyncio.CancelledError:
        write("stopped")
    finally:
        for task in tasks:
            task.cancel()


async def _operate(events: AsyncManySubscription, line: dict[str, Any]) -> None:
    try:
        match line["op"]:
            case "add":
                await events.add(line["key"], **addition_options(line))
                write("added", key=line["key"])
            case "drop":
                await events.drop(line["key"])
                write("dropped", key=line["key"])
            case _:
                write("cursor", cursor=events.cursor)
    except Refused as error:
        write("refused", key=line["key"], code=error.code)
    except TinistreamerError:
        # The loop writes the error that ended the subscription.
        pass


async def _follow(events: AsyncSubscription | AsyncManySubscription, pause: float) -> None:
    try:
        async with events:
            async for event in events:
                write_event(event)
                await asyncio.sleep(pause)
        write("finished", **statuses_of(events))
    except TinistreamerError as error:
        write_error(error)


async def _publish(job: dict[str, Any]) -> None:
    lines = await _Lines.of_input()
    async with AsyncClient(job["url"], job["api_key"]) as client:
        try:
            async with client.publish(job["key"], **writer_options(job)) as writer:
                await _steps(writer, lines)
        except Left:
            pass
        except TinistreamerError as error:
            write_error(error)
            return
    write("done")


async def _steps(writer: AsyncWriter, lines: _Lines) -> None:
    while (line := await lines.next()) is not None:
        match line["op"]:
            case "write":
                try:
                    await writer.write(line["event"], line.get("data"))
                except InvalidEvent as error:
                    write_error(error)
            case "flush":
                await writer.flush()
                write("flushed")
            case "raise":
                raise Left
            case "leave":
                return
            case op:
                await getattr(writer, op)()
                return


async def _text(job: dict[str, Any]) -> None:
    events = asubscribe(job["url"], job["token"])
    try:
        text = await events.text(allow_missed=job["allow_missed"])
    except TinistreamerError as error:
        write_error(error)
    else:
        write(
            "text",
            text=text,
            missed=None if events.missed is None else asdict(events.missed),
            status=events.status,
        )


async def _manage(job: dict[str, Any]) -> None:
    lines = await _Lines.of_input()
    async with AsyncClient(job["url"], job["api_key"]) as client:
        while (line := await lines.next()) is not None:
            try:
                write_result(await call_of(client, line)())
            except TinistreamerError as error:
                write_error(error)
