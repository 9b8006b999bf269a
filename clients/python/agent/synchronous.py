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
    ending_options,
    read,
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
    accesses: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = threading.Event()

    def ask() -> str:
        write("token-wanted")
        return tokens.get()

    def ask_for_access() -> dict[str, Any]:
        write("access-wanted")
        return accesses.get()

    token, options = job.get("token") or ask, subscription_options(job)
    if job.get("access"):
        token, options["access"] = job.get("token"), ask_for_access
    events: Subscription | ManySubscription
    if "keys" in job:
        events = subscribe_many(job.get("url"), job["keys"], token, **options)
    else:
        events = subscribe(job.get("url"), token, **options)
    operations: queue.Queue[dict[str, Any]] = queue.Queue()

    def listen() -> None:
        while (line := read()) is not None:
            if "token" in line:
                tokens.put(line["token"])
            elif "access" in line:
                accesses.put(line["access"])
            elif line["op"] == "stop":
                stop.set()
                events.close()
            else:
                operations.put(line)

    def operate() -> None:
        while True:
            _operate(events, operations.get())
            operations.task_done()

    for task in (listen, operate):
        threading.Thread(target=task, daemon=True).start()
    try:
        _follow(events, stop, (job.get("pause_ms") or 0) / 1000)
    except TinistreamerError as error:
        write_error(error)
    if not stop.is_set():
        # The reply to a signal may come after the end of the stream.
        operations.join()
    # A thread still reads the input, which would block the end of the interpreter.
    os._exit(0)


def _operate(events: Subscription | ManySubscription, line: dict[str, Any]) -> None:
    if line["op"] in {"request-stop", "signal"}:
        _signal(events, line)
    elif isinstance(events, ManySubscription):
        _change(events, line)


def _signal(events: Subscription | ManySubscription, line: dict[str, Any]) -> None:
    stops = line["op"] == "request-stop"
    try:
        if isinstance(events, ManySubscription):
            key = line["key"]
            seq = events.request_stop(key) if stops else events.signal(key, *signal_of(line))
        else:
            seq = events.request_stop() if stops else events.signal(*signal_of(line))
        write("signalled", seq=seq)
    except TinistreamerError as error:
        write("signal-refused", code=error.code)


def _change(events: ManySubscription, line: dict[str, Any]) -> None:
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
    steps = _Steps()
    with Client(job["url"], job["api_key"]) as client:
        try:
            with client.publish(job["key"], **writer_options(job)) as writer:
                steps.take(writer)
        except Left:
            pass
        except TinistreamerError as error:
            steps.failure = error
        if steps.hearing is not None:
            steps.hearing.join()
    if steps.failure is None:
        write("done")
    else:
        write_stop(steps.failure, steps.op)


class _Steps:
    """The steps of a writer."""

    def __init__(self) -> None:
        self.op = ""
        self.failure: TinistreamerError | None = None
        self.hearing: threading.Thread | None = None

    def take(self, writer: Writer) -> None:
        """Takes steps until the last one."""
        while (line := read()) is not None:
            self.op = line["op"]
            try:
                if not self._step(writer, line):
                    return
            except InvalidEvent as error:
                write_error(error)
            except TinistreamerError as error:
                # The block may take it.
                self.failure = error
                raise

    def _step(self, writer: Writer, line: dict[str, Any]) -> bool:
        """Takes one step. Returns whether there may be more."""
        match self.op:
            case "write":
                writer.write(line["event"], line.get("data"))
            case "flush":
                writer.flush()
                write("flushed")
            case "hear":
                self.hearing = threading.Thread(target=_hear, args=(writer,), daemon=True)
                self.hearing.start()
                write("hearing")
            case "await-stop":
                if writer.stopped() is not None:
                    write("stop-heard")
            case "pipe":
                pause = (line.get("pause_ms") or 0) / 1000
                writer.pipe_from(_Endless(line["items"], pause), line["event"])
            case "raise":
                raise Left
            case "leave":
                return False
            case op:
                getattr(writer, op)(**ending_options(line))
                return False
        return True


def _hear(writer: Writer) -> None:
    for signal in writer.signals():
        write_signal(signal)
    write("silent")


class _Endless:
    """Yields items with pauses, and then waits until it is closed."""

    def __init__(self, items: list[Any], pause: float) -> None:
        self._left = list(items)
        self._pause = pause
        self._closed = threading.Event()

    def __iter__(self) -> _Endless:
        return self

    def __next__(self) -> Any:
        if not self._closed.wait(self._pause if self._left else None):
            return self._left.pop(0)
        raise StopIteration

    def close(self) -> None:
        """Ends a `__next__` that waits in another thread."""
        self._closed.set()


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
