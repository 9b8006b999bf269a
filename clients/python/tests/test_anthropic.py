"""What the streams of the Anthropic SDK become."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_models import SECRET, FakeModel, block, fake_model, messages, text_block
from sdks import MESSAGE, load

from tinistreamer import Failure, ModelFailed, model_failure

events: Any = load("tinistreamer.anthropic").events

pytestmark = pytest.mark.xdist_group("models")

STEPS = messages(
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "s"},
    ),
    *text_block(1, "a", "", "b"),
    *block(
        2,
        {"type": "tool_use", "id": "t1", "name": "find", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"city": "Kö'},
        {"type": "input_json_delta", "partial_json": 'ln"}'},
    ),
    *block(3, {"type": "tool_use", "id": "t2", "name": "now", "input": {}}),
    stop_reason="tool_use",
)
EVENTS: list[tuple[str, Any]] = [
    ("reasoning", "hm"),
    ("token", "a"),
    ("token", "b"),
    ("tool-call", {"id": "t1", "name": "find", "arguments": {"city": "Köln"}}),
    ("tool-call", {"id": "t2", "name": "now", "arguments": {}}),
    ("finish", {"reason": "tool_use"}),
    # 10 tokens, and 5 from the cache. The last count of the output counts.
    ("usage", {"input_tokens": 15, "output_tokens": 7, "total_tokens": 22}),
]


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


@pytest.fixture(params=["create", "stream"])
def stream(request: pytest.FixtureRequest, fake: FakeModel) -> Iterator[Any]:
    with load("anthropic").Anthropic(api_key="k", base_url=fake.url, max_retries=0) as client:
        yield (
            lambda: (
                client.messages.stream(**MESSAGE)
                if request.param == "stream"
                else client.messages.create(**MESSAGE, stream=True)
            )
        )


def read(source: Any) -> list[tuple[str, Any]]:
    return [(event.event, event.data) for event in source]


def test_messages(stream: Any, fake: FakeModel) -> None:
    fake.steps = STEPS
    assert read(events(stream())) == EVENTS


def test_raw_events_have_what_the_api_has_sent(stream: Any, fake: FakeModel) -> None:
    fake.steps = STEPS
    made = read(events(stream(), raw=True))
    sent: list[Any] = [step for step in STEPS if step != {"type": "ping"}]
    assert {name for name, _ in made} == {"chunk"}
    assert [data["type"] for _, data in made] == [step["type"] for step in sent]
    deltas = [data for _, data in made if data["type"] == "content_block_delta"]
    assert deltas == [step for step in sent if step["type"] == "content_block_delta"]


@pytest.mark.parametrize("raw", [False, True])
def test_an_answer_that_is_not_whole_is_an_error(stream: Any, fake: FakeModel, raw: bool) -> None:
    fake.steps = messages(*text_block(0, "a"), stop_reason=None)
    with pytest.raises(ModelFailed, match="model-incomplete"):
        read(events(stream(), raw=raw))


def test_an_error_in_mid_answer_reveals_nothing(stream: Any, fake: FakeModel) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": SECRET}}
    fake.steps = messages(*text_block(0, "a"), error, stop_reason=None)
    with pytest.raises(load("anthropic").APIError, match=SECRET) as raised:
        read(events(stream()))
    assert model_failure(raised.value) == Failure("model-failed", "The model failed")
