"""The jobs over the asynchronous interface."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

from lines import Left, call_of, failed, result, subscription_options, told, write, writer_options

from tinistreamer import AsyncClient, AsyncWriter, InvalidEvent, TinistreamerError, asubscribe

# Longer than any line of a job.
_LONGEST_LINE = 1 << 28


def run(job: dict[str, Any]) -> None:
    """Does the job."""
    jobs = {"subscribe": _subscribe, "publish": _publish, "manage": _manage}
    asyncio.run(jobs[job["job"]](job))


class _Lines:
    """The lines of the input after the first."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def of_input(cls) -> _Lines:
        reader = asyncio.StreamReader(_LONGEST_LINE)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        return cls(reader)

    async def next(self) -> dict[str, Any] | None:
        """The next line; None at the end of the input."""
        line = await self._reader.readline()
        return cast("dict[str, Any]", json.loads(line)) if line else None


async def _subscribe(job: dict[str, Any]) -> None:
    tokens: asyncio.Queue[str] = asyncio.Queue()

    async def ask() -> str:
        write("token-wanted")
        return await tokens.get()

    following = asyncio.create_task(_follow(job, job.get("token") or ask))

    lines = await _Lines.of_input()

    async def listen() -> None:
        while (line := await lines.next()) is not None:
            if "token" in line:
                tokens.put_nowait(line["token"])
            else:
                following.cancel()

    listening = asyncio.create_task(listen())
    try:
        await following
    except asyncio.CancelledError:
        write("stopped")
    finally:
        listening.cancel()


async def _follow(job: dict[str, Any], token: Any) -> None:
    try:
        async with asubscribe(job["url"], token, **subscription_options(job)) as events:
            async for event in events:
                told(event)
                await asyncio.sleep((job.get("pause_ms") or 0) / 1000)
        write("finished", status=events.status)
    except TinistreamerError as error:
        failed(error)


async def _publish(job: dict[str, Any]) -> None:
    lines = await _Lines.of_input()
    async with AsyncClient(job["url"], job["api_key"]) as client:
        try:
            async with client.publish(job["key"], **writer_options(job)) as writer:
                await _steps(writer, lines)
        except Left:
            pass
        except TinistreamerError as error:
            failed(error)
            return
    write("done")


async def _steps(writer: AsyncWriter, lines: _Lines) -> None:
    while (line := await lines.next()) is not None:
        match line["op"]:
            case "write":
                try:
                    await writer.write(line["event"], line.get("data"))
                except InvalidEvent as error:
                    failed(error)
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


async def _manage(job: dict[str, Any]) -> None:
    lines = await _Lines.of_input()
    async with AsyncClient(job["url"], job["api_key"]) as client:
        while (line := await lines.next()) is not None:
            try:
                result(await call_of(client, line)())
            except TinistreamerError as error:
                failed(error)
