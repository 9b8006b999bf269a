"""The jobs of the agent over the synchronous interface."""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import asdict
from typing import Any

from lines import (
    Left,
    addition_options,
    call_of,
    read,
    statuses_of,
    subscription_options,
    write,
    write_error,
    write_event,
    write_result,
    writer_options,
)

from tinistreamer import (
    Client,
    InvalidEvent,
    ManySubscription,
    Refused,
    Subscription,
    TinistreamerError,
    Writer,
    subscribe,
    subscribe_many,
)


def run(job: dict[str, Any]) -> None:
    """Does the job."""
    {"subscribe": _subscribe, "publish": _publish, "manage": _manage, "text": _text}[job["job"]](
        job
    )


def _subscribe(job: dict[str, Any]) -> None:
    tokens: queue.SimpleQueue[str] = queue.SimpleQueue()
    stop = threading.Event()

    def ask() -> str:
        write("token-wanted")
        return tokens.get()

    token, options = job.get("token") or ask, subscription_options(job)
    events: Subscription | ManySubscription
    if "keys" in job:
        events = subscribe_many(job["url"], job["keys"], token, **options)
    else:
        events = subscribe(job["url"], token, **options)
    operations: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        while (line := read()) is not None:
            if "token" in line:
                tokens.put(line["token"])
            elif line["op"] == "stop":
                stop.set()
                events.close()
            else:
                operations.put(line)

    def operate(many: ManySubscription) -> None:
        while True:
            _operate(many, operations.get())

    if isinstance(events, ManySubscription):
        threading.Thread(target=operate, args=(events,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        _follow(events, stop, (job.get("pause_ms") or 0) / 1000)
    except TinistreamerError as error:
        write_error(error)
    # A thread still reads the input, which would block the end of the interpreter.
    os._exit(0)


def _operate(events: ManySubscription, line: dict[str, Any]) -> None:
    try:
        match line["op"]:
            case "add":
                events.add(line["key"], **addition_options(line))
                write("added", key=line["key"])
            case "drop":
                events.drop(line["key"])
                write("dropped", key=line["key"])
            case _:
                write("cursor", cursor=events.cursor)
    except Refused as error:
        write("refused", key=line["key"], code=error.code)
    except TinistreamerError:
        # The loop writes the error that ended the subscription.
        pass


def _follow(events: Subscription | ManySubscription, stop: threading.Event, pause: float) -> None:
    with events:
        for event in events:
            write_event(event)
            stop.wait(pause)
    if stop.is_set():
        write("stopped")
    else:
        write("finished", **statuses_of(events))


def _publish(job: dict[str, Any]) -> None:
    with Client(job["url"], job["api_key"]) as client:
        try:
            with client.publish(job["key"], **writer_options(job)) as writer:
                _steps(writer)
        except Left:
            pass
        except TinistreamerError as error:
            write_error(error)
            return
    write("done")


def _steps(writer: Writer) -> None:
    while (line := read()) is not None:
        match line["op"]:
            case "write":
                try:
                    writer.write(line["event"], line.get("data"))
                except InvalidEvent as error:
                    write_error(error)
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


def _text(job: dict[str, Any]) -> None:
    events = subscribe(job["url"], job["token"])
    try:
        text = events.text(allow_missed=job["allow_missed"])
    except TinistreamerError as error:
        write_error(error)
    else:
        write(
            "text",
            text=text,
            missed=None if events.missed is None else asdict(events.missed),
            status=events.status,
        )


def _manage(job: dict[str, Any]) -> None:
    with Client(job["url"], job["api_key"]) as client:
        while (line := read()) is not None:
            try:
                write_result(call_of(client, line)())
            except TinistreamerError as error:
                write_error(error)
