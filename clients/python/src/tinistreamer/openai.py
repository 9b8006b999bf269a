"""The streams of the OpenAI SDK as events, for `pipe_from` of a writer.

    chunks = await model.chat.completions.create(…, stream=True)
    await writer.pipe_from(events(chunks))

This module does not import the SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

from ._errors import ModelFailed
from ._generated.models import Event as NewEvent
from ._model_events import (
    Completeness,
    ToolCalls,
    finish,
    plain,
    text_event,
    tool_call,
    usage,
)
from ._model_source import model_events
from ._tasks.model_stream import AsyncModelEvents, AsyncModelSource
from ._threads.model_stream import ModelEvents, ModelSource

__all__ = ["events"]

# The parts of a text, by the type of an event of the Responses API.
_TEXTS = {
    "response.output_text.delta": "token",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.refusal.delta": "refusal",
}

_CALLS = {"function_call": "arguments", "mcp_call": "arguments", "custom_tool_call": "input"}


@overload
def events(stream: AsyncModelSource, *, raw: bool = False) -> AsyncModelEvents: ...
@overload
def events(stream: ModelSource, *, raw: bool = False) -> ModelEvents: ...
def events(
    stream: AsyncModelSource | ModelSource, *, raw: bool = False
) -> AsyncModelEvents | ModelEvents:
    """Returns the events of a stream of Chat Completions or of Responses.

    `stream` is what `create(…, stream=True)` returns, also before `await`, or what `stream(…)`
    returns. A stop closes the connection to the model.

    `token`, `reasoning` and `refusal` have a part of a text. `tool-call` has `id`, `name` and
    `arguments` of a whole call, `finish` the `reason`, and `usage` has `input_tokens`,
    `output_tokens` and `total_tokens`. With `raw`, each chunk becomes an event `chunk` with its
    JSON.

    The iteration raises what the SDK raises, `ModelFailed` when the model reports a failure or its
    stream ends too early, and `ValueError` for more than one choice.
    """
    return model_events(stream, _Translator(), raw=raw)


class _Translator:
    """Makes events of the items of both APIs."""

    def __init__(self) -> None:
        self._completeness = Completeness()
        self._calls = ToolCalls()

    def check(self, item: Any) -> None:
        chunk = _chunk_of(item)
        if chunk is not None:
            if any(choice.finish_reason for choice in chunk.choices):
                self._completeness.reached()
        elif item.type in {"error", "response.failed"}:
            raise ModelFailed("model-failed", "The model reported a failure")
        elif item.type in {"response.completed", "response.incomplete"}:
            self._completeness.reached()

    def translate(self, item: Any) -> Iterable[NewEvent]:
        chunk = _chunk_of(item)
        return self._of_response(item) if chunk is None else self._of_chat(chunk)

    def raw(self, item: Any) -> Iterable[object]:
        chunk = _chunk_of(item)
        if chunk is None and not item.type.startswith("response."):
            return []
        return [plain(chunk or item)]

    def end(self) -> Iterable[NewEvent]:
        self._completeness.check()
        return []

    def _of_chat(self, chunk: Any) -> Iterable[NewEvent]:
        for choice in chunk.choices:
            if choice.index != 0:
                raise ValueError("A stream has the events of one choice: leave n out, or set raw")
            yield from self._of_delta(choice.delta)
            if choice.finish_reason:
                yield from self._calls.end_all()
                yield from finish(choice.finish_reason)
        counts = getattr(chunk, "usage", None)
        if counts is not None:
            yield usage(counts.prompt_tokens, counts.completion_tokens)

    def _of_delta(self, delta: Any) -> Iterable[NewEvent]:
        # Other servers with this API have one of the first two.
        for field in ("reasoning_content", "reasoning"):
            yield from text_event("reasoning", getattr(delta, field, None))
        yield from text_event("token", getattr(delta, "content", None))
        yield from text_event("refusal", getattr(delta, "refusal", None))
        for call in getattr(delta, "tool_calls", None) or ():
            function = call.function
            self._calls.begin(call.index, call.id, function and function.name)
            self._calls.add(call.index, function and function.arguments)

    def _of_response(self, item: Any) -> Iterable[NewEvent]:
        if name := _TEXTS.get(item.type):
            yield from text_event(name, item.delta)
        elif item.type == "response.output_item.done" and item.item.type in _CALLS:
            call = item.item
            call_id = getattr(call, "call_id", None) or call.id
            yield tool_call(call_id, call.name, getattr(call, _CALLS[call.type]))
        elif item.type in {"response.completed", "response.incomplete"}:
            response = item.response
            details = response.incomplete_details
            yield from finish((details and details.reason) or response.status)
            if response.usage is not None:
                yield usage(response.usage.input_tokens, response.usage.output_tokens)


def _chunk_of(item: Any) -> Any:
    """Returns the chunk of a chat; None for an event of the Responses API."""
    if hasattr(item, "choices"):
        return item
    # `chat.completions.stream` adds events of its own, which repeat what is in the chunks.
    if getattr(item, "type", None) == "chunk":
        return item.chunk
    return None
