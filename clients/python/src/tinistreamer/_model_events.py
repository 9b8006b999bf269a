"""What the adapters for models have in common. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol

from ._errors import ModelFailed
from ._generated.models import Event as NewEvent

# More than a model writes. It bounds what a tool call may take of the memory.
_LONGEST_CALL = 1 << 20


class Translator(Protocol):
    """Makes events of the items of one stream of a model."""

    def check(self, item: Any) -> None:
        """Looks at an item. Raises `ModelFailed` when it reports a failure."""
        ...

    def translate(self, item: Any) -> Iterable[NewEvent]:
        """Returns the events that an item stands for."""
        ...

    def raw(self, item: Any) -> Iterable[object]:
        """Returns an item as a value for JSON; none for one that the API has not sent."""
        ...

    def end(self) -> Iterable[NewEvent]:
        """Returns the events that are left. Raises `ModelFailed` when the answer is incomplete."""
        ...


class ModelStream:
    """Makes events of the items of one stream of a model, typed or raw."""

    def __init__(self, translator: Translator, *, raw: bool) -> None:
        self._translator = translator
        self._is_raw = raw

    def take(self, item: Any) -> Iterable[NewEvent]:
        """Returns the events that an item stands for. Raises `ModelFailed`."""
        self._translator.check(item)
        if self._is_raw:
            return [NewEvent(event="chunk", data=data) for data in self._translator.raw(item)]
        return self._translator.translate(item)

    def end(self) -> Iterable[NewEvent]:
        """Returns the events that are left. Raises `ModelFailed`."""
        left = self._translator.end()
        return [] if self._is_raw else left


class Completeness:
    """Whether a stream of a model has reported the end of the answer."""

    def __init__(self) -> None:
        self._is_complete = False

    def reached(self) -> None:
        """The model has reported the end."""
        self._is_complete = True

    def check(self) -> None:
        """Raises `ModelFailed` when the stream ended too early: half an answer looks whole."""
        if not self._is_complete:
            raise ModelFailed("model-incomplete", "The model's stream ended before its answer")


class ToolCalls:
    """The tool calls of a model, whose arguments come in parts."""

    def __init__(self) -> None:
        self._calls: dict[object, _ToolCall] = {}
        self._length = 0

    def begin(self, place: object, call_id: str | None, name: str | None) -> None:
        """A call begins at a place among all calls, or says more about itself."""
        call = self._calls.setdefault(place, _ToolCall())
        call.id = call_id or call.id
        call.name = name or call.name

    def add(self, place: object, arguments: str | None) -> None:
        """Adds a part of the arguments. Raises `ModelFailed` when they become too long."""
        if arguments and place in self._calls:
            self._length += len(arguments)
            if self._length > _LONGEST_CALL:
                raise ModelFailed("model-failed", "The tool calls of the model are too long")
            self._calls[place].parts.append(arguments)

    def end(self, place: object) -> Iterable[NewEvent]:
        """Returns the event of a call that is complete."""
        call = self._calls.pop(place, None)
        return [] if call is None else [tool_call(call.id, call.name, "".join(call.parts))]

    def end_all(self) -> Iterable[NewEvent]:
        """Returns the events of all calls that are left."""
        return [event for place in [*self._calls] for event in self.end(place)]


class _ToolCall:
    def __init__(self) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.parts: list[str] = []


def text_event(name: str, text: object) -> Iterable[NewEvent]:
    """Returns the event of a part of a text; none when the part is empty."""
    return [NewEvent(event=name, data=text)] if isinstance(text, str) and text else []


def tool_call(call_id: str | None, name: str | None, arguments: object) -> NewEvent:
    """Returns the event of a call of a tool. A text with JSON becomes its value."""
    if isinstance(arguments, str):
        arguments = _parsed(arguments)
    data = {"id": call_id, "name": name, "arguments": arguments}
    return NewEvent(event="tool-call", data=data)


def finish(reason: object) -> Iterable[NewEvent]:
    """Returns the event that says, in the model's own word, why the answer is over."""
    return [NewEvent(event="finish", data={"reason": reason})] if reason else []


def usage(read: int | None, written: int | None) -> NewEvent:
    """Returns the event that says how many tokens the model has read and written."""
    read, written = read or 0, written or 0
    counts = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return NewEvent(event="usage", data=counts)


def plain(item: Any) -> object:
    """Returns an object of an SDK as its API sent it, for JSON."""
    data: dict[str, object] = item.to_dict(mode="json")
    # An SDK adds the whole text so far to each part of it.
    return {name: value for name, value in data.items() if name != "snapshot"}


def _parsed(text: str) -> object:
    if not text:
        return {}
    try:
        # Python would also read NaN, which is no JSON.
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(constant: str) -> object:
    raise ValueError(constant)
