"""What subscribers learn about a model that failed, when the caller asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import free_port
from fake_models import SECRET, FakeModel, fake_model
from interfaces import DEADLINE
from sdks import CHAT, MESSAGE, load

from tinistreamer import ModelFailed, model_failure

Ask = Callable[..., Any]

pytestmark = pytest.mark.xdist_group("models")


def api_errors() -> Any:
    return (load("openai").APIError, load("anthropic").APIError)


def ask_openai(url: str, timeout: float = DEADLINE) -> Any:
    with load("openai").OpenAI(
        api_key="k", base_url=f"{url}/v1", max_retries=0, timeout=timeout
    ) as client:
        return list(client.chat.completions.create(**CHAT, stream=True))


def ask_anthropic(url: str, timeout: float = DEADLINE) -> Any:
    with load("anthropic").Anthropic(
        api_key="k", base_url=url, max_retries=0, timeout=timeout
    ) as client:
        return list(client.messages.create(**MESSAGE, stream=True))


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "model-refused"),
        (401, "model-unavailable"),
        (404, "model-unavailable"),
        (408, "model-timeout"),
        (413, "model-refused"),
        (422, "model-refused"),
        (429, "model-busy"),
        (503, "model-unavailable"),
        (529, "model-unavailable"),
    ],
)
def test_an_error_by_its_status(fake: FakeModel, ask: Ask, status: int, code: str) -> None:
    fake.steps = [status]
    with pytest.raises(api_errors(), match=SECRET) as raised:
        ask(fake.url)
    failure = model_failure(raised.value)
    assert failure.code == code
    assert SECRET not in (failure.message or "")


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_an_error_of_the_connection(ask: Ask) -> None:
    with pytest.raises(api_errors()) as raised:
        ask(f"http://127.0.0.1:{free_port()}")
    assert model_failure(raised.value).code == "model-unavailable"


def test_a_model_that_is_silent(fake: FakeModel) -> None:
    fake.steps = ["wait"]
    with pytest.raises(load("openai").APITimeoutError) as raised:
        ask_openai(fake.url, timeout=0.2)
    assert model_failure(raised.value).code == "model-timeout"


def test_an_error_in_mid_stream(fake: FakeModel) -> None:
    fake.steps = [{"error": {"message": SECRET}}]
    with pytest.raises(load("openai").APIError, match=SECRET) as raised:
        ask_openai(fake.url)
    assert model_failure(raised.value).code == "model-failed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelFailed("model-failed", SECRET), "model-failed"),
        (ModelFailed("model-incomplete", SECRET), "model-incomplete"),
        (KeyError(SECRET), "error"),
        (asyncio.CancelledError(), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_other_errors(error: BaseException, code: str) -> None:
    failure = model_failure(error)
    assert failure.code == code
    assert SECRET not in (failure.message or "")
