"""The protocol of the agent: JSON lines as input and output."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar, cast

from tinistreamer import (
    Ack,
    ApiError,
    AsyncManySubscription,
    AsyncSubscription,
    ConnectionChange,
    Event,
    KeyedEvent,
    ManySubscription,
    NewEvent,
    Reason,
    SignalRecord,
    Stopped,
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


def write_stop(error: TinistreamerError, what: str) -> None:
    """Writes how a writer's job ended: with a stop that an operation reports, or with an error."""
    if isinstance(error, Stopped) and what in {"write", "pipe"}:
        write("stopped", by=error.by)
    else:
        write_error(error)


def write_signal(signal: SignalRecord) -> None:
    """Writes a signal that a writer has heard."""
    data = {} if signal.data is None else {"data": signal.data}
    write("signal", seq=signal.seq, name=signal.name, **data, by=signal.by)


def write_connection(change: ConnectionChange) -> None:
    """Writes a change of a subscription's connection."""
    write(
        "connection",
        state=change.state,
        attempt=change.attempt,
        failed=change.error is not None,
        retry_in_ms=None if change.retry_in is None else round(change.retry_in * 1000),
    )


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
        count = {} if event.count == 1 else {"count": event.count}
        write("event", **key, id=event.id, event=event.event, data=event.data, **count)


def statuses_of(
    events: Subscription | ManySubscription | AsyncSubscription | AsyncManySubscription,
) -> dict[str, Any]:
    """Returns the status or the statuses of a subscription, and why."""
    if isinstance(events, Subscription | AsyncSubscription):
        return {"status": events.status, "reason": _members(events.reason)}
    reasons = {key: _members(reason) for key, reason in events.reasons.items()}
    return {"statuses": events.statuses, "reasons": reasons}


def _members(reason: Reason | None) -> dict[str, str] | None:
    if reason is None:
        return None
    return {name: value for name, value in asdict(reason).items() if value is not None}


def write_ack(ack: Ack) -> None:
    """Writes an acknowledgement."""
    write("ack", count=ack.count, last_id=ack.last_id)


def subscription_options(job: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a subscription in the job."""
    names = ("after", "events", "wait", "rollup", "rollup_path", "rollup_ms")
    options: dict[str, Any] = {name: job[name] for name in names if job.get(name) is not None}
    if job.get("connections"):
        options["on_connection"] = write_connection
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
    names = ("transport", "max_pending", "write_after_stop")
    options = {name: job[name] for name in names if job.get(name) is not None}
    for name in ("retry_for", "coalesce"):
        if (milliseconds := job.get(f"{name}_ms")) is not None:
            options[name] = milliseconds / 1000
    if job.get("lease_s") is not None:
        options["lease"] = job["lease_s"]
    return {**options, "on_ack": write_ack}


def signal_of(line: dict[str, Any]) -> tuple[str, Any]:
    """Returns the name and the data of a signal to send."""
    return line["name"], line.get("data")


def ending_options(line: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of the last step of a writer."""
    names = {"cancel": ("reason", "by"), "fail": ("code", "message")}.get(line["op"], ())
    return {name: line[name] for name in names if line.get(name) is not None}


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
