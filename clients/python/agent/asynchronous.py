"""The jobs of the agent over the asynchronous interface."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, cast

from lines import (
    Left,
    addition_options,
    call_of,
    ending_options,
    signal_of,
    statuses_of,
    subscription_options,
    write,
    write_error,
    write_event,
    write_result,
    write_signal,
    write_stop,
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
    accesses: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def ask() -> str:
        write("token-wanted")
        return await tokens.get()

    async def ask_for_access() -> dict[str, Any]:
        write("access-wanted")
        return await accesses.get()

    token, options = job.get("token") or ask, subscription_options(job)
    if job.get("access"):
        token, options["access"] = job.get("token"), ask_for_access
    events: AsyncSubscription | AsyncManySubscription
    if "keys" in job:
        events = asubscribe_many(job.get("url"), job["keys"], token, **options)
    else:
        events = asubscribe(job.get("url"), token, **options)
    following = asyncio.create_task(_follow(events, (job.get("pause_ms") or 0) / 1000))
    operations: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    lines = await _Lines.of_input()

    async def listen() -> None:
        while (line := await lines.next()) is not None:
            if "token" in line:
                tokens.put_nowait(line["token"])
            elif "access" in line:
                accesses.put_nowait(line["access"])
            elif line["op"] == "stop":
                following.cancel()
            else:
                operations.put_nowait(line)

    async def operate() -> None:
        while True:
            await _operate(events, await operations.get())
            operations.task_done()

    tasks = [asyncio.create_task(listen()), asyncio.create_task(operate())]
    try:
        await following
    except asyncio.CancelledError:
        write("stopped")
    else:
        # The reply to a signal may come after the end of the stream.
        await operations.join()
    finally:
        for task in tasks:
            task.cancel()


async def _operate(events: AsyncSubscription | AsyncManySubscription, line: dict[str, Any]) -> None:
    if line["op"] in {"request-stop", "signal"}:
        await _signal(events, line)
    elif isinstance(events, AsyncManySubscription):
        await _change(events, line)


async def _signal(events: AsyncSubscription | AsyncManySubscription, line: dict[str, Any]) -> None:
    stops = line["op"] == "request-stop"
    try:
        if isinstance(events, AsyncManySubscription):
            key = line["key"]
            seq = (
                await events.request_stop(key)
                if stops
                else await events.signal(key, *signal_of(line))
            )
        else:
            seq = await events.request_stop() if stops else await events.signal(*signal_of(line))
        write("signalled", seq=seq)
    except TinistreamerError as error:
        write("signal-refused", code=error.code)


async def _change(events: AsyncManySubscription, line: dict[str, Any]) -> None:
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
    steps = _Steps(lines)
    async with AsyncClient(job["url"], job["api_key"]) as client:
        try:
            async with client.publish(job["key"], **writer_options(job)) as writer:
                await steps.take(writer)
        except Left:
            pass
        except TinistreamerError as error:
            steps.failure = error
        if steps.hearing is not None:
            await steps.hearing
    if steps.failure is None:
        write("done")
    else:
        write_stop(steps.failure, steps.op)


class _Steps:
    """The steps of a writer."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self.op = ""
        self.failure: TinistreamerError | None = None
        self.hearing: asyncio.Task[None] | None = None

    async def take(self, writer: AsyncWriter) -> None:
        """Takes steps until the last one."""
        while (line := await self._lines.next()) is not None:
            self.op = line["op"]
            try:
                if not await self._step(writer, line):
                    return
            except InvalidEvent as error:
                write_error(error)
            except TinistreamerError as error:
                # The block may take it.
                self.failure = error
                raise

    async def _step(self, writer: AsyncWriter, line: dict[str, Any]) -> bool:
        """Takes one step. Returns whether there may be more."""
        match self.op:
            case "write":
                await writer.write(line["event"], line.get("data"))
            case "flush":
                await writer.flush()
                write("flushed")
            case "hear":
                self.hearing = asyncio.create_task(_hear(writer))
                write("hearing")
            case "await-stop":
                if await writer.stopped() is not None:
                    write("stop-heard")
            case "pipe":
                source = _endless(line["items"], (line.get("pause_ms") or 0) / 1000)
                await writer.pipe_from(source, line["event"])
            case "raise":
                raise Left
            case "leave":
                return False
            case op:
                await getattr(writer, op)(**ending_options(line))
                return False
        return True


async def _hear(writer: AsyncWriter) -> None:
    async for signal in writer.signals():
        write_signal(signal)
    write("silent")


async def _endless(items: list[Any], pause: float) -> AsyncIterator[Any]:
    for item in items:
        yield item
        await asyncio.sleep(pause)
    await asyncio.Event().wait()


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
