"""How a stream is finished, and what is a success. No I/O."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from ._errors import ApiError, TinistreamerError, is_transient
from ._failure import Failure
from ._generated.api.streams.cancel_stream import cancel_stream
from ._generated.api.streams.end_stream import end_stream
from ._generated.api.streams.fail_stream import fail_stream
from ._generated.api.streams.stream_info import stream_info
from ._generated.models import CancelStream, EndStream, FailStream, Finished, StreamState
from ._generated.types import Operation
from ._retry import Retry

Step = Operation[Finished | StreamState] | float
"""A request to send, or the seconds to wait."""


@dataclass(frozen=True)
class Ending:
    """A request that finishes a stream."""

    operation: Operation[Finished]
    status: str | None
    """The status that the stream must have in the end; None: any that a finished stream has."""


def ended(key: str, generation: str | None) -> Ending:
    """Ends a stream. Nobody else may finish it: events may be missing."""
    return Ending(end_stream(EndStream(key=key, generation=generation)), "ended")


def cancelled(key: str, generation: str | None, reason: str | None, by: str | None) -> Ending:
    """Cancels a stream, if it is not finished."""
    body = CancelStream(key=key, generation=generation, reason=reason, by=by)
    return Ending(cancel_stream(body), None)


def failed(key: str, generation: str | None, failure: Failure) -> Ending:
    """Reports that the producer of a stream failed, if the stream is not finished."""
    body = FailStream(key=key, generation=generation, code=failure.code, message=failure.message)
    return Ending(fail_stream(body), None)


def finished_before(error: ApiError) -> Finished:
    """Returns the status of a stream that was finished before. Raises any other error."""
    if error.code == "no-active-stream" and error.stream_status is not None:
        return Finished(status=error.stream_status)
    raise error


def finish_stream(key: str, ending: Ending, retry_for: float) -> Generator[Step, object, None]:
    """Finishes a writer's stream.

    Yields steps, and takes the response or the error of a request. Returns when the stream is
    finished as the caller asked. Raises the last error otherwise. To end a stream that somebody
    else has finished is an error: this writer then was not the one that completed it.
    """
    retry = Retry(retry_for)
    response_lost = False
    while True:
        outcome = yield ending.operation
        is_inactive = isinstance(outcome, ApiError) and outcome.code == "no-active-stream"
        # The attempt whose response was lost may have finished the stream.
        if isinstance(outcome, ApiError) and is_inactive and (response_lost or not ending.status):
            status = outcome.stream_status
            if status is None:
                # An older broker does not say the status.
                state = yield stream_info(key=key)
                if isinstance(state, TinistreamerError) and is_transient(state):
                    yield retry.after(state)
                    continue
                status = state.status if isinstance(state, StreamState) else None
            if status not in {None, "active"} and ending.status in {None, status}:
                return
            raise outcome
        if not isinstance(outcome, TinistreamerError):
            return
        yield retry.after(outcome)
        response_lost = True
