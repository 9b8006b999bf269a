"""The protocol of the agent: JSON lines as input and output."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tinistreamer import (
    Ack,
    ApiError,
    AsyncManySubscription,
    AsyncSubscription,
    Event,
    KeyedEvent,
    ManySubscription,
    NewEvent,
    Subscription,
    TinistreamerError,
)

T = TypeVar("T")
_lock = threading.Lock()


class Left(Exception):
    """Leaves a writer's block, as an error in the caller's code does."""


def read() -> dict[str, Any] | None:
    """Returns the next line; None at the end of the input."""
    line = sys.stdin.readline()
    return cast("dict[str, Any]", json.loads(line)) if line else None


def write(kind: str, **fields: Any) -> None:
    """Writes a line and flushes it."""
    with _lock:
        sys.stdout.write(json.dumps({"type": kind, **fields}) + "\n")
        sys.stdout.flush()


def write_error(error: TinistreamerError) -> None:
    """Writes an error."""
    status = {"status": error.status} if isinstance(error, ApiError) else {}
    write("failed", **status, code=error.code, message=error.message)


def write_event(event: Event) -> None:
    """Writes an event of a subscription."""
    key = {"key": event.key} if isinstance(event, KeyedEvent) else {}
    if event.missed is not None:
        write(
            "missed",
            **key,
            after=event.missed.after,
            first=event.missed.first,
            missed=event.missed.missed,
        )
    else:
        write("event", **key, id=event.id, event=event.event, data=event.data)


def statuses_of(
    events: Subscription | ManySubscription | AsyncSubscription | AsyncManySubscription,
) -> dict[str, Any]:
    """Returns the status or the statuses of a subscription."""
    if isinstance(events, Subscription | AsyncSubscription):
        return {"status": events.status}
    return {"statuses": events.statuses}


def write_ack(ack: Ack) -> None:
    """Writes an acknowledgement."""
    write("ack", count=ack.count, last_id=ack.last_id)


def subscription_options(job: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a subscription in the job."""
    options: dict[str, Any] = {
        name: job[name] for name in ("after", "events", "wait") if job.get(name) is not None
    }
    if job.get("from") is not None:
        options["from_"] = job["from"]
    for name in ("silence", "give_up_after"):
        if (milliseconds := job.get(f"{name}_ms")) is not None:
            options[name] = milliseconds / 1000
    return options


def addition_options(line: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a stream to add."""
    options = {name: line[name] for name in ("after", "wait") if line.get(name) is not None}
    return {**options, **({"from_": line["from"]} if line.get("from") is not None else {})}


def writer_options(job: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a writer in the job."""
    options = {
        name: job[name] for name in ("transport", "max_pending") if job.get(name) is not None
    }
    if (milliseconds := job.get("retry_for_ms")) is not None:
        options["retry_for"] = milliseconds / 1000
    return {**options, "on_ack": write_ack}


def call_of(client: Any, line: dict[str, Any]) -> Callable[[], Any]:
    """Returns the call that a line of the job `manage` describes."""
    arguments = dict(line.get("args") or {})
    if "events" in arguments:
        arguments["events"] = [NewEvent.from_dict(event) for event in arguments["events"]]
    method = getattr(client, line["call"])
    return lambda: method(**arguments)


def write_result(value: Any) -> None:
    """Writes the result of a call as the broker's JSON."""
    match value:
        case str():
            write("result", value=value)
        case [*rows]:
            write("result", value=[row.to_dict() for row in rows])
        case _:
            write("result", value=value.to_dict())
