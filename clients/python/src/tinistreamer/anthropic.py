"""The streams of the Anthropic SDK as events, for `pipe_from` of a writer.

    async with model.messages.stream(…) as stream:
        await writer.pipe_from(events(stream))

This module does not import the SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

from ._generated.models import Event as NewEvent
from ._model_events import Completeness, ToolCalls, finish, plain, text_event, usage
from ._model_source import model_events
from ._tasks.model_stream import AsyncModelEvents, AsyncModelSource
from ._threads.model_stream import ModelEvents, ModelSource

__all__ = ["events"]

_CALLS = {"tool_use", "server_tool_use"}

# All of these are tokens that the model has read.
_READ = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@overload
def events(stream: AsyncModelSource, *, raw: bool = False) -> AsyncModelEvents: ...
@overload
def events(stream: ModelSource, *, raw: bool = False) -> ModelEvents: ...
def events(
    stream: AsyncModelSource | ModelSource, *, raw: bool = False
) -> AsyncModelEvents | ModelEvents:
    """Returns the events of a stream of Messages.

    `stream` is what `messages.create(…, stream=True)` returns, also before `await`, or what
    `messages.stream(…)` returns, also before `async with`. A stop closes the connection to the
    model.

    `token` and `reasoning` have a part of a text. `tool-call` has `id`, `name` and `arguments` of a
    whole call, `finish` the `reason`, and `usage` has `input_tokens`, `output_tokens` and
    `total_tokens`. With `raw`, each event of the API becomes an event `chunk` with its JSON.

    The iteration raises what the SDK raises, and `ModelFailed` when the stream ends too early.
    """
    return model_events(stream, _Translator(), raw=raw)


class _Translator:
    """Makes events of the events of the API. It passes over those that the SDK adds."""

    def __init__(self) -> None:
        self._completeness = Completeness()
        self._calls = ToolCalls()
        self._counts: dict[str, int] = {}

    def check(self, item: Any) -> None:
        if item.type == "message_stop":
            self._completeness.reached()

    def translate(self, item: Any) -> Iterable[NewEvent]:
        if item.type == "message_start":
            self._count(item.message.usage)
        elif item.type == "content_block_start" and item.content_block.type in _CALLS:
            self._calls.begin(item.index, item.content_block.id, item.content_block.name)
        elif item.type == "content_block_delta":
            yield from self._of_delta(item.index, item.delta)
        elif item.type == "content_block_stop":
            yield from self._calls.end(item.index)
        elif item.type == "message_delta":
            self._count(item.usage)
            yield from finish(item.delta.stop_reason)
        elif item.type == "message_stop":
            read = sum(self._counts.get(name, 0) for name in _READ)
            yield usage(read, self._counts.get("output_tokens"))

    def raw(self, item: Any) -> Iterable[object]:
        return [plain(item)] if item.type.startswith(("message_", "content_block_")) else []

    def end(self) -> Iterable[NewEvent]:
        self._completeness.check()
        return []

    def _of_delta(self, place: int, delta: Any) -> Iterable[NewEvent]:
        if delta.type == "text_delta":
            yield from text_event("token", delta.text)
        elif delta.type == "thinking_delta":
            yield from text_event("reasoning", delta.thinking)
        elif delta.type == "input_json_delta":
            self._calls.add(place, delta.partial_json)

    def _count(self, counts: Any) -> None:
        """Keeps the newest counts: each is a total so far."""
        for name in (*_READ, "output_tokens"):
            count = getattr(counts, name, None)
            if count is not None:
                self._counts[name] = count
