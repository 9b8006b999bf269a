"""The streams of LangChain as events, for `pipe_from` of a writer.

    await writer.pipe_from(events(chain.astream_events(question)))

This module imports LangChain only for raw events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast, overload

from ._generated.models import Event as NewEvent
from ._model_events import ToolCalls, finish, text_event, tool_call, usage
from ._model_source import model_events
from ._tasks.model_stream import AsyncModelEvents, AsyncModelSource
from ._threads.model_stream import ModelEvents, ModelSource

__all__ = ["events"]

# What a model says at the end of its answer, by provider.
_REASONS = ("finish_reason", "stop_reason", "done_reason")

_TOOLS = {
    "on_tool_start": "tool-start",
    "on_tool_end": "tool-end",
    "on_tool_error": "tool-error",
}


@overload
def events(stream: AsyncModelSource, *, raw: bool = False) -> AsyncModelEvents: ...
@overload
def events(stream: ModelSource, *, raw: bool = False) -> ModelEvents: ...
def events(
    stream: AsyncModelSource | ModelSource, *, raw: bool = False
) -> AsyncModelEvents | ModelEvents:
    """Returns the events of what `astream_events`, `astream` or `stream` returns.

    A stop closes the stream, and with it the connection to the model. `stream`, which is for
    threads, ends at its next item.

    `token` and `reasoning` have a part of a text. `tool-call` has `id`, `name` and `arguments` of a
    whole call, `finish` the `reason`, and `usage` has `input_tokens`, `output_tokens` and
    `total_tokens`. `tool-start`, `tool-end` and `tool-error`, of `astream_events` only, have the
    `id` of the run and the `name` of the tool, and no data of it. Custom events keep their name.
    Any other item of `astream` or `stream`, such as the value of a parser, becomes an event
    `value`.

    With `raw`, each item becomes an event `chunk` with its JSON, also its prompts.

    The iteration raises what LangChain raises.
    """
    return model_events(stream, _Translator(), raw=raw)


class _Translator:
    """Makes events of the items of all kinds of streams."""

    def __init__(self) -> None:
        self._calls = ToolCalls()
        self._counts: list[Mapping[str, int]] = []
        # The runs of models that have not streamed anything yet.
        self._silent: set[str] = set()

    def check(self, item: Any) -> None:
        """Does nothing: LangChain raises its errors."""

    def translate(self, item: Any) -> Iterable[NewEvent]:
        """Returns the events that an item stands for."""
        if _is_event(item):
            return self._of_event(cast("Mapping[str, Any]", item))
        item = _without_metadata(item)
        if isinstance(item, str):
            return text_event("token", item)
        if not _is_message(item):
            return [NewEvent(event="value", data=item)]
        return self._of_chunk(item) if _is_of_model(item) else []

    def raw(self, item: Any) -> Iterable[object]:
        """Returns an item as a value for JSON."""
        from langchain_core.load import dumpd  # noqa: PLC0415 - optional

        return [dumpd(item)]

    def end(self) -> Iterable[NewEvent]:
        """Returns the calls and the counts of a model that did not mark its last chunk."""
        yield from self._calls.end_all()
        yield from self._usage()

    def _of_event(self, item: Mapping[str, Any]) -> Iterable[NewEvent]:
        kind, run, data = item["event"], item["run_id"], item["data"]
        if name := _TOOLS.get(kind):
            yield NewEvent(event=name, data={"id": run, "name": item["name"]})
        elif kind in {"on_chat_model_start", "on_llm_start"}:
            self._silent.add(run)
        elif kind in {"on_chat_model_stream", "on_llm_stream"}:
            self._silent.discard(run)
            yield from _texts(data["chunk"])
        elif kind in {"on_chat_model_end", "on_llm_end"}:
            output = data.get("output")
            if run in self._silent:
                # This model does not stream.
                self._silent.discard(run)
                yield from _texts(output)
            if _is_message(output):
                yield from _end_of(output)
        elif kind == "on_custom_event":
            yield NewEvent(event=item["name"], data=data)

    def _of_chunk(self, message: Any) -> Iterable[NewEvent]:
        yield from _texts(message)
        for part in getattr(message, "tool_call_chunks", ()):
            self._calls.begin(part["index"], part["id"], part["name"])
            self._calls.add(part["index"], part["args"])
        if message.usage_metadata:
            self._counts.append(message.usage_metadata)
        if reason := _reason_of(message):
            yield from self._calls.end_all()
            yield from finish(reason)
        if getattr(message, "chunk_position", None) == "last":
            yield from self._calls.end_all()
            yield from self._usage()

    def _usage(self) -> Iterable[NewEvent]:
        counts, self._counts = self._counts, []
        if counts:
            yield usage(*(sum(each[name] for each in counts) for name in _COUNTS))


_COUNTS = ("input_tokens", "output_tokens")


def _is_event(item: object) -> bool:
    """Whether an item is one of `astream_events`."""
    return (
        isinstance(item, Mapping)
        and {"event", "run_id", "data"} <= cast("Mapping[str, object]", item).keys()
    )


def _without_metadata(item: Any) -> Any:
    """Returns the message of LangGraph's pairs, which it yields for `stream_mode="messages"`."""
    pair: Any = item
    if isinstance(item, tuple) and len(pair) == 2 and _is_message(pair[0]):
        return pair[0]
    return pair


def _is_message(item: object) -> bool:
    return hasattr(item, "response_metadata") and hasattr(item, "content")


def _is_of_model(message: Any) -> bool:
    """Whether a message is of a model, and not a tool's or a person's."""
    return bool(message.type in {"ai", "AIMessageChunk"})


def _texts(item: Any) -> Iterable[NewEvent]:
    """Returns the events of the texts in an item of a model."""
    if not _is_message(item):
        # A model that is no chat model: a text, or a chunk that has one.
        yield from text_event("token", item if isinstance(item, str) else getattr(item, "text", ""))
        return
    for block in item.content_blocks:
        if block["type"] == "text":
            yield from text_event("token", block.get("text"))
        elif block["type"] == "reasoning":
            yield from text_event("reasoning", block.get("reasoning"))


def _end_of(message: Any) -> Iterable[NewEvent]:
    """Returns the events of a whole message, besides those of its texts."""
    for call in getattr(message, "tool_calls", ()):
        yield tool_call(call["id"], call["name"], call["args"])
    yield from finish(_reason_of(message))
    if counts := getattr(message, "usage_metadata", None):
        yield usage(*(counts[name] for name in _COUNTS))


def _reason_of(message: Any) -> object:
    metadata = message.response_metadata
    return next((metadata[name] for name in _REASONS if metadata.get(name)), None)
