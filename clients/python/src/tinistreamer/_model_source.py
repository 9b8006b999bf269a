"""The choice between both halves for a stream of a model."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager

from ._model_events import ModelStream, Translator
from ._tasks.model_stream import AsyncModelEvents, AsyncModelSource
from ._threads.model_stream import ModelEvents, ModelSource


def model_events(
    source: AsyncModelSource | ModelSource, translator: Translator, *, raw: bool
) -> AsyncModelEvents | ModelEvents:
    """Returns the events of a stream, for asyncio if the stream is for asyncio."""
    stream = ModelStream(translator, raw=raw)
    # First, because a future is also iterable.
    if inspect.isawaitable(source):
        return AsyncModelEvents(source, stream)
    if isinstance(source, (AsyncIterable, AbstractAsyncContextManager)):
        return AsyncModelEvents(source, stream)
    return ModelEvents(source, stream)
