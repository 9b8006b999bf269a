"""The SDKs of models, each with the same few operations, so that a test covers all of them.

Tests import them late and share the group `models`, so that few processes pay for the import.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from blocking import Backend
from fake_models import FakeModel, Step, chat, messages, responses, text_block, text_delta

KINDS = [
    *(f"{name}-{half}" for name in ("chat", "chat-helper") for half in ("sync", "async")),
    *(f"{name}-{half}" for name in ("responses", "responses-helper") for half in ("sync", "async")),
    *(f"{name}-{half}" for name in ("messages", "messages-helper") for half in ("sync", "async")),
    "astream-async",
    "astream_events-async",
    "stream-sync",
]
"""The ways to get a stream of a model, each with its half of the interface."""

QUESTION: list[Any] = [{"role": "user", "content": "why"}]
CHAT: dict[str, Any] = {"model": "fake", "messages": QUESTION}
RESPONSE: dict[str, Any] = {"model": "fake", "input": "why"}
MESSAGE: dict[str, Any] = {**CHAT, "max_tokens": 100}


def load(name: str) -> Any:
    """Imports a module when a test needs it."""
    return importlib.import_module(name)


class Sdk:
    """One way to get a stream of a model."""

    def __init__(self, kind: str, backend: Backend, fake: FakeModel) -> None:
        self.name, _, half = kind.rpartition("-")
        self._is_async = half == "async"
        self._backend = backend
        self._fake = fake
        self.path = {"r": "/v1/responses", "m": "/v1/messages"}.get(
            self.name[0], "/v1/chat/completions"
        )

    def steps(self, *texts: str) -> list[Step]:
        """Returns what the server does for an answer. `wait` and `cut` are steps."""
        whole = "cut" not in texts
        if self.path.endswith("messages"):
            return messages(*text_block(0, *texts), stop_reason="end_turn" if whole else None)
        if self.path.endswith("responses"):
            items: list[Any] = [
                text if text in {"wait", "cut"} else text_delta(text) for text in texts
            ]
            return responses(*items, **({"status": "completed"} if whole else {}))
        return chat(*texts, finish="stop" if whole else None)

    def events(self, **options: Any) -> Any:
        """Returns a stream as events, for a writer."""
        adapter = {"m": "anthropic", "a": "langchain", "s": "langchain"}.get(self.name[0], "openai")
        return load(f"tinistreamer.{adapter}").events(self.stream(), **options)

    def stream(self) -> Any:
        """Begins a stream."""
        openers: dict[str, Callable[[], Any]] = {
            "chat": lambda: self._openai().chat.completions.create(**CHAT, stream=True),
            "chat-helper": lambda: self._openai().chat.completions.stream(**CHAT),
            "responses": lambda: self._openai().responses.create(**RESPONSE, stream=True),
            "responses-helper": lambda: self._openai().responses.stream(**RESPONSE),
            "messages": lambda: self._anthropic().messages.create(**MESSAGE, stream=True),
            "messages-helper": lambda: self._anthropic().messages.stream(**MESSAGE),
            "astream": lambda: self._langchain().astream("why"),
            "astream_events": lambda: self._langchain().astream_events("why"),
            "stream": lambda: self._langchain().stream("why"),
        }
        return openers[self.name]()

    def _openai(self) -> Any:
        openai = load("openai")
        make = openai.AsyncOpenAI if self._is_async else openai.OpenAI
        return self._backend.keep(make(api_key="k", base_url=f"{self._fake.url}/v1", max_retries=0))

    def _anthropic(self) -> Any:
        anthropic = load("anthropic")
        make = anthropic.AsyncAnthropic if self._is_async else anthropic.Anthropic
        return self._backend.keep(make(api_key="k", base_url=self._fake.url, max_retries=0))

    def _langchain(self) -> Any:
        langchain = load("langchain_openai")
        completions = self._openai().chat.completions
        half = "async_client" if self._is_async else "client"
        return langchain.ChatOpenAI(model="fake", api_key=lambda: "k", **{half: completions})
