"""The jobs over the synchronous interface."""

from __future__ import annotations

import os
import queue
import threading
from typing import Any

from lines import Left, call_of, failed, read, result, subscription_options, told, write, writer_options

from tinistreamer import Client, InvalidEvent, Subscription, TinistreamerError, Writer, subscribe


def run(job: dict[str, Any]) -> None:
    """Does the job."""
    {"subscribe": _subscribe, "publish": _publish, "manage": _manage}[job["job"]](job)


def _subscribe(job: dict[str, Any]) -> None:
    tokens: queue.SimpleQueue[str] = queue.SimpleQueue()
    stop = threading.Event()

    def ask() -> str:
        write("token-wanted")
        return tokens.get()

    events = subscribe(job["url"], job.get("token") or ask, **subscription_options(job))

    def listen() -> None:
        while (line := read()) is not None:
            if "token" in line:
                tokens.put(line["token"])
            else:
                stop.set()
                events.close()

    threading.Thread(target=listen, daemon=True).start()
    try:
        _follow(events, stop, (job.get("pause_ms") or 0) / 1000)
    except TinistreamerError as error:
        failed(error)
    # The thread that waits for a line holds the input, on which the interpreter would stumble at its end.
    os._exit(0)


def _follow(events: Subscription, stop: threading.Event, pause: float) -> None:
    with events:
        for event in events:
            told(event)
            stop.wait(pause)
    if stop.is_set():
        write("stopped")
    else:
        write("finished", status=events.status)


def _publish(job: dict[str, Any]) -> None:
    with Client(job["url"], job["api_key"]) as client:
        try:
            with client.publish(job["key"], **writer_options(job)) as writer:
                _steps(writer)
        except Left:
            pass
        except TinistreamerError as error:
            failed(error)
            return
    write("done")


def _steps(writer: Writer) -> None:
    while (line := read()) is not None:
        match line["op"]:
            case "write":
                try:
                    writer.write(line["event"], line.get("data"))
                except InvalidEvent as error:
                    failed(error)
            case "flush":
                writer.flush()
                write("flushed")
            case "raise":
                raise Left
            case "leave":
                return
            case op:
                getattr(writer, op)()
                return


def _manage(job: dict[str, Any]) -> None:
    with Client(job["url"], job["api_key"]) as client:
        while (line := read()) is not None:
            try:
                result(call_of(client, line)())
            except TinistreamerError as error:
                failed(error)
