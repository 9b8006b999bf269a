"""How a writer ends or cancels its stream. No I/O."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

from ._errors import ApiError, TinistreamerError
from ._generated.api.streams.cancel_stream import cancel_stream
from ._generated.api.streams.end_stream import end_stream
from ._generated.api.streams.stream_info import stream_info
from ._generated.models import Finished, KeyOnly, StreamState
from ._generated.types import Operation
from ._retry import Retry

Ending = Literal["end", "cancel"]

Step = Operation[Finished | StreamState] | float
"""A request to send, or the seconds to wait."""


def finish_stream(key: str, how: Ending, retry_for: float) -> Generator[Step, object, None]:
    """Ends or cancels a stream. Yields steps, and takes the response or the error of a request.

    Returns when the stream is finished as the caller asked. Raises the last error otherwise.
    """
    body = KeyOnly(key=key)
    operation, wanted = (
        (end_stream(body), "ended") if how == "end" else (cancel_stream(body), "cancelled")
    )
    retry = Retry(retry_for)
    response_lost = False
    while True:
        outcome = yield operation
        if response_lost and isinstance(outcome, ApiError) and outcome.code == "no-active-stream":
            # The attempt whose response was lost may have finished the stream.
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
