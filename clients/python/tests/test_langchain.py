"""What the streams of LangChain become."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fake_models import FakeModel, chat, fake_model
from sdks import load
from test_openai import CALL_PARTS, COUNTS, USAGE

CALLS: list[tuple[str, Any]] = [
    ("tool-call", {"id": "c1", "name": "find", "arguments": {"city": "Köln"}}),
    ("tool-call", {"id": "c2", "name": "now", "arguments": {}}),
]


events: Any = load("tinistreamer.langchain").events

pytestmark = pytest.mark.xdist_group("models")


def message(kind: str, **fields: Any) -> Any:
    return getattr(load("langchain_core.messages"), kind)(**fields)


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


@pytest.fixture
def model(fake: FakeModel, monkeypatch: pytest.MonkeyPatch) -> Any:
    # As its users set it.
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
    return load("langchain_openai").ChatOpenAI(model="fake", stream_usage=True, max_retries=0)


def read(*sources: Any) -> list[tuple[str, Any]]:
    async def run() -> list[tuple[str, Any]]:
        return [(event.event, event.data) for source in sources async for event in source]

    return asyncio.run(run())


def in_thread(source: Any) -> list[tuple[str, Any]]:
    return [(event.event, event.data) for event in source]


@pytest.mark.parametrize("method", ["astream", "astream_events"])
def test_a_chat_model(model: Any, fake: FakeModel, method: str) -> None:
    fake.steps = chat("a", *CALL_PARTS[:4], "b", finish="tool_calls", usage=USAGE)
    made = read(events(getattr(model, method)("why")))
    assert made[:2] == [("token", "a"), ("token", "b")]
    assert made[2:] == [*CALLS, ("finish", {"reason": "tool_calls"}), COUNTS]


def test_a_chain_and_its_parser(model: Any, fake: FakeModel) -> None:
    chain: Any = (
        load("langchain_core.prompts").ChatPromptTemplate.from_template("Say {what}")
        | model
        | load("langchain_core.output_parsers").StrOutputParser()
    )
    fake.steps = chat("a", "b")
    texts = [("token", "a"), ("token", "b")]
    streams = [chain.astream({"what": "it"}), chain.astream_events({"what": "it"})]
    assert read(*map(events, streams)) == [*texts, *texts, ("finish", {"reason": "stop"})]
    assert in_thread(events(chain.stream({"what": "it"}))) == texts


def test_values_of_a_parser(model: Any, fake: FakeModel) -> None:
    fake.steps = chat('{"a":', "1}")
    chain: Any = model | load("langchain_core.output_parsers").JsonOutputParser()
    assert read(events(chain.astream("why"))) == [("value", {}), ("value", {"a": 1})]


def test_a_model_that_does_not_stream(fake: FakeModel) -> None:
    silent: Any = load("langchain_core.language_models.fake_chat_models").FakeListChatModel(
        responses=["whole"], disable_streaming=True
    )
    assert read(events(silent.astream_events("why"))) == [("token", "whole")]
    assert fake.asked == []


def test_tools_and_custom_events_without_the_data_of_the_tools() -> None:
    async def find(city: str) -> str:
        """Finds a city."""
        await load("langchain_core.callbacks").adispatch_custom_event("progress", {"percent": 50})
        return f"secret {city}"

    def fail(city: str) -> str:
        """Fails."""
        raise KeyError(city)

    tool = load("langchain_core.tools").tool
    made = read(events(tool(find).astream_events({"city": "secret"})))
    assert [name for name, _ in made] == ["tool-start", "progress", "tool-end"]
    assert made[1][1] == {"percent": 50}
    assert made[0][1] == made[2][1] == {"id": made[0][1]["id"], "name": "find"}

    seen: list[tuple[str, Any]] = []

    async def until_it_fails() -> None:
        source = events(tool(fail).astream_events({"city": "secret"}))
        while True:
            event = await anext(source)
            seen.append((event.event, event.data))

    with pytest.raises(KeyError):
        asyncio.run(until_it_fails())
    assert [name for name, _ in seen] == ["tool-start", "tool-error"]


def test_messages_of_a_graph() -> None:
    async def messages() -> AsyncIterator[Any]:
        yield (
            message("AIMessageChunk", content="a"),
            {"langgraph_node": "model"},
        )
        yield (
            message("ToolMessage", content="secret", tool_call_id="c"),
            {"langgraph_node": "tools"},
        )
        yield message("AIMessage", content="b"), {"langgraph_node": "model"}
        yield (1, 2)

    assert read(events(messages())) == [("token", "a"), ("token", "b"), ("value", (1, 2))]


def test_parts_of_the_content_and_counts_in_several_chunks() -> None:
    counts: list[Any] = [
        {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
        {"input_tokens": 0, "output_tokens": 3, "total_tokens": 3},
    ]

    async def messages() -> AsyncIterator[Any]:
        yield message("AIMessageChunk", content=[{"type": "reasoning", "reasoning": "hm"}])
        yield message(
            "AIMessageChunk", content=[{"type": "text", "text": "a"}], usage_metadata=counts[0]
        )
        yield message("AIMessageChunk", content="", usage_metadata=counts[1])

    assert read(events(messages())) == [("reasoning", "hm"), ("token", "a"), COUNTS]


def test_raw_events_are_json_also_with_messages_inside() -> None:
    def ask(text: str) -> list[Any]:
        return [message("HumanMessage", content=text)]

    chain: Any = load("langchain_core.runnables").RunnableLambda(ask)
    made = read(events(chain.astream_events("why"), raw=True))
    assert [data["event"] for _, data in made] == [
        "on_chain_start",
        "on_chain_stream",
        "on_chain_end",
    ]
    assert {name for name, _ in made} == {"chunk"}
    assert '"HumanMessage"' in json.dumps(made)
