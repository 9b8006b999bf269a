"""What the streams of the OpenAI SDK become."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fake_models import FakeModel, Step, chat, fake_model, responses, second_choice, text_delta
from interfaces import wait_until
from sdks import CHAT, RESPONSE, load

from tinistreamer import ModelFailed

events: Any = load("tinistreamer.openai").events

pytestmark = pytest.mark.xdist_group("models")

CALL_PARTS: list[Any] = [
    {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "find"}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Kö'}}]},
    {"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "now", "arguments": ""}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": 'ln"}'}}]},
    {"tool_calls": [{"index": 2, "id": "c3", "function": {"name": "bad", "arguments": "{NaN"}}]},
    {"tool_calls": [{"index": 3, "id": "c4", "function": {"name": "nan", "arguments": "NaN"}}]},
]
CALLS: list[tuple[str, Any]] = [
    ("tool-call", {"id": "c1", "name": "find", "arguments": {"city": "Köln"}}),
    ("tool-call", {"id": "c2", "name": "now", "arguments": {}}),
    ("tool-call", {"id": "c3", "name": "bad", "arguments": "{NaN"}),
    ("tool-call", {"id": "c4", "name": "nan", "arguments": "NaN"}),
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
COUNTS: tuple[str, Any] = ("usage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
RESPONSE_USAGE = {
    "input_tokens": 3,
    "output_tokens": 4,
    "total_tokens": 7,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


@pytest.fixture
def sdk(fake: FakeModel) -> Iterator[Any]:
    with load("openai").OpenAI(api_key="k", base_url=f"{fake.url}/v1", max_retries=0) as client:
        yield client


def read(source: Any) -> list[tuple[str, Any]]:
    return [(event.event, event.data) for event in source]


def finish(reason: str) -> tuple[str, Any]:
    return ("finish", {"reason": reason})


@pytest.mark.parametrize("method", ["create", "stream"])
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (chat("a", "", "b"), [("token", "a"), ("token", "b"), finish("stop")]),
        (chat("a", finish="length"), [("token", "a"), finish("length")]),
        (chat("a", usage=USAGE), [("token", "a"), finish("stop"), COUNTS]),
        (chat({"refusal": "No"}), [("refusal", "No"), finish("stop")]),
        (
            chat({"reasoning_content": "hm"}, {"reasoning": "aha"}, "a"),
            [("reasoning", "hm"), ("reasoning", "aha"), ("token", "a"), finish("stop")],
        ),
        (
            chat("a", *CALL_PARTS, finish="tool_calls"),
            [("token", "a"), *CALLS, finish("tool_calls")],
        ),
    ],
)
def test_chat_completions(
    sdk: Any, fake: FakeModel, method: str, steps: list[Step], expected: list[tuple[str, Any]]
) -> None:
    fake.steps = steps
    completions = sdk.chat.completions
    stream = (
        completions.stream(**CHAT)
        if method == "stream"
        else completions.create(**CHAT, stream=True)
    )
    assert read(events(stream)) == expected


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": 1, "item": fields}


RESPONSES: list[tuple[list[Step], list[tuple[str, Any]]]] = [
    (
        responses(text_delta("a"), text_delta("b"), status="completed", usage=RESPONSE_USAGE),
        [("token", "a"), ("token", "b"), finish("completed"), COUNTS],
    ),
    (
        responses(
            text_delta("a"),
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
        ),
        [("token", "a"), finish("max_output_tokens")],
    ),
    (
        responses(
            {"type": "response.reasoning_summary_text.delta", "delta": "hm", "item_id": "i"},
            {"type": "response.reasoning_text.delta", "delta": "aha", "item_id": "i"},
            {"type": "response.refusal.delta", "delta": "No", "item_id": "i"},
            item(type="function_call", id="f", call_id="c", name="find", arguments='{"a":1}'),
            item(type="custom_tool_call", id="f", call_id="d", name="sh", input="ls"),
            item(type="mcp_call", id="m", name="ask", arguments="{}", server_label="s"),
            item(type="web_search_call", id="w", status="completed"),
            status="completed",
        ),
        [
            ("reasoning", "hm"),
            ("reasoning", "aha"),
            ("refusal", "No"),
            ("tool-call", {"id": "c", "name": "find", "arguments": {"a": 1}}),
            ("tool-call", {"id": "d", "name": "sh", "arguments": "ls"}),
            ("tool-call", {"id": "m", "name": "ask", "arguments": {}}),
            finish("completed"),
        ],
    ),
]


@pytest.mark.parametrize(("steps", "expected"), RESPONSES)
def test_responses(
    sdk: Any, fake: FakeModel, steps: list[Step], expected: list[tuple[str, Any]]
) -> None:
    fake.steps = steps
    assert read(events(sdk.responses.create(**RESPONSE, stream=True))) == expected


@pytest.mark.parametrize("method", ["create", "stream"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_raw_events_have_what_the_api_has_sent(
    sdk: Any, fake: FakeModel, api: str, method: str
) -> None:
    if api == "chat":
        fake.steps = chat("a", usage=USAGE)
    else:
        fake.steps = responses(
            text_delta("a"), text_delta("b"), status="completed", usage=RESPONSE_USAGE
        )
    options, calls = (CHAT, sdk.chat.completions) if api == "chat" else (RESPONSE, sdk.responses)
    stream = calls.stream(**options) if method == "stream" else calls.create(**options, stream=True)
    made = read(events(stream, raw=True))
    assert {name for name, _ in made} == {"chunk"}
    sent: list[Any] = fake.steps
    # The helper of Responses completes the last event itself.
    pairs = list(zip([data for _, data in made], sent, strict=True))[:-1]
    assert [data for data, _ in pairs] == [step for _, step in pairs]


def test_raw_events_have_all_choices(sdk: Any, fake: FakeModel) -> None:
    fake.steps = [second_choice("x"), *chat("a")]
    stream = sdk.chat.completions.create(**CHAT, stream=True)
    assert [data for _, data in read(events(stream, raw=True))] == fake.steps
    with pytest.raises(ValueError, match="one choice"):
        read(events(sdk.chat.completions.create(**CHAT, stream=True)))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    ("api", "steps", "code"),
    [
        ("chat", chat("a", finish=None), "model-incomplete"),
        ("responses", responses(text_delta("a")), "model-incomplete"),
        ("responses", responses(text_delta("a"), status="failed"), "model-failed"),
        (
            "responses",
            responses(text_delta("a"), {"type": "error", "message": "secret", "code": "x"}),
            "model-failed",
        ),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(
    sdk: Any, fake: FakeModel, api: str, steps: list[Step], code: str, raw: bool
) -> None:
    fake.steps = steps
    if api == "chat":
        stream = sdk.chat.completions.create(**CHAT, stream=True)
    else:
        stream = sdk.responses.create(**RESPONSE, stream=True)
    with pytest.raises(ModelFailed) as raised:
        read(events(stream, raw=raw))
    assert raised.value.code == code
    assert "secret" not in str(raised.value)


def test_tool_calls_do_not_fill_the_memory(sdk: Any, fake: FakeModel) -> None:
    part: Any = {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": "x" * 300_000}}]}
    fake.steps = chat(*[part] * 4)
    with pytest.raises(ModelFailed, match="too long"):
        read(events(sdk.chat.completions.create(**CHAT, stream=True)))


@pytest.mark.parametrize("begun", [False, True])
def test_a_stream_that_nobody_reads_ends_the_model(fake: FakeModel, begun: bool) -> None:
    fake.steps = chat("wait", "a")

    async def run() -> None:
        async with load("openai").AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1") as client:
            asked = client.chat.completions.create(**CHAT, stream=True)
            source = events(await asked if begun else asyncio.ensure_future(asked))
            await asyncio.to_thread(wait_until, lambda: not begun or len(fake.asked) == 1)
            await source.aclose()
            if begun:
                await asyncio.to_thread(wait_until, lambda: len(fake.left) == 1)

    asyncio.run(run())
    assert fake.sent == []


def test_a_request_that_nobody_begins_is_dropped(fake: FakeModel) -> None:
    async def run() -> None:
        async with load("openai").AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1") as client:
            source = events(client.chat.completions.create(**CHAT, stream=True))
            await source.aclose()
            assert [each async for each in source] == []

    asyncio.run(run())
    assert fake.asked == []


async def names(source: Any) -> list[str]:
    return [event.event async for event in source]


def test_a_future_is_a_stream_of_asyncio(fake: FakeModel) -> None:
    fake.steps = chat("a")

    async def run() -> list[str]:
        async with load("openai").AsyncOpenAI(api_key="k", base_url=f"{fake.url}/v1") as client:
            begun: Any = client.chat.completions.create(**CHAT, stream=True)
            return await names(events(asyncio.ensure_future(begun)))

    assert asyncio.run(run()) == ["token", "finish"]
