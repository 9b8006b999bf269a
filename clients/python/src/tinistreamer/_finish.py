"""How a stream is finished, and what is a success. No I/O."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

from ._errors import ApiError, TinistreamerError
from ._generated.api.streams.cancel_stream import cancel_stream
from ._generated.api.streams.end_stream import end_stream
from ._generated.api.streams.stream_info import stream_info
from ._generated.models import CancelStream, EndStream, Finished, StreamState
from ._generated.types import Operation
from ._retry import Retry

Ending = Literal["end", "cancel"]

Step = Operation[Finished | StreamState] | float
"""A request to send, or the seconds to wait."""


def finished_before(error: ApiError) -> Finished:
    """Returns the status of a stream that was finished before. Raises any other error."""
    if error.code == "no-active-stream" and error.stream_status is not None:
        return Finished(status=error.stream_status)
    raise error


def finish_stream(
    key: str, how: Ending, retry_for: float, generation: str | None = None
) -> Generator[Step, object, None]:
    """Ends or cancels a writer's stream.

    Yields steps, and takes the response or the error of a request. Returns when the stream is
    finished as the caller asked. Raises the last error otherwise, also when somebody else has
    finished the stream: the writer then was not the one that completed it.
    """
    operation, wanted = (
        (end_stream(EndStream(key=key, generation=generation)), "ended")
        if how == "end"
        else (cancel_stream(CancelStream(key=key, generation=generation)), "cancelled")
    )
    retry = Retry(retry_for)
    response_lost = False
    while True:
        outcome = yield operation
        if response_lost and isinstance(outcome, ApiError) and outcome.code == "no-active-stream":
            # The attempt whose response was lost may have finished the stream.
            if outcome.stream_status == wanted:
                return
            if outcome.stream_status is not None:
                raise outcome
            # An older broker does not say the status.
            state = yield stream_info(key=key)
            if isinstance(state, StreamState):
                if state.status == wanted:
                    return
                raise outcome
            outcome = state
        if not isinstance(outcome, TinistreamerError):
            return
        yield retry.after(outcome)
        response_lost = True
