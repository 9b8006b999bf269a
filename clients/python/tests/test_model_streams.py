"""Streams of models that a writer pipes: real SDKs, a real broker, and a server like a provider's.

All kinds of streams do the same. What differs is in the tests of each SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from blocking import Backend, backend_of
from conftest import Server
from fake_models import SECRET, FakeModel, fake_model
from interfaces import DEADLINE, in_background, wait_until
from sdks import KINDS, Sdk

from tinistreamer import Client, model_failure

pytestmark = pytest.mark.xdist_group("models")

BY_KEY = ("cancel", '{"reason":"stop","by":"api-key"}')
WORDS = ["Grüße", " an", " 🦀", "\n\n", "und\u2028 alle", ' "quoted" \\ ', "data: x\n\n"]


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(kind: str) -> Iterator[Backend]:
    with backend_of(kind.rpartition("-")[2]) as backend:
        yield backend


@pytest.fixture
def sdk(kind: str, backend: Backend, fake: FakeModel) -> Sdk:
    return Sdk(kind, backend, fake)


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


def tokens(client: Client, key: str) -> list[str | None]:
    return [data for name, data in stored(client, key) if name == "token"]


def pipe(backend: Backend, server: Server, key: str, sdk: Sdk, **options: Any) -> None:
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        writer.pipe_from(sdk.events())


def test_each_delta_becomes_a_token_byte_for_byte(
    backend: Backend, server: Server, client: Client, key: str, sdk: Sdk, fake: FakeModel
) -> None:
    client.create_stream(key)
    fake.steps = sdk.steps(*WORDS)
    pipe(backend, server, key, sdk)
    assert tokens(client, key) == WORDS
    assert stored(client, key)[-1] == ("end", None)
    assert [path for path, _ in fake.asked] == [sdk.path]


def test_a_stop_closes_the_connection_to_a_model_that_thinks(
    backend: Backend, server: Server, client: Client, key: str, sdk: Sdk, fake: FakeModel
) -> None:
    client.create_stream(key, stop_grace=600)
    fake.steps = sdk.steps("a", "wait", "b")
    # A generator of the synchronous half ends at its next item.
    can_be_closed = sdk.name != "stream"
    writer = backend.publish(server.url, server.api_key, key)

    def produce() -> None:
        with writer:
            writer.pipe_from(sdk.events())

    produced = in_background(produce)
    wait_until(lambda: tokens(client, key) == ["a"])
    client.send_signal(key, "stop")
    if not can_be_closed:
        writer.stopped()
        fake.go.set()
    produced.result(DEADLINE)
    if can_be_closed:
        wait_until(lambda: fake.left == [sdk.path])
        assert fake.sent == []
    assert tokens(client, key) == ["a"]
    assert stored(client, key)[-1] == BY_KEY


def test_closing_between_two_events_ends_the_model(
    backend: Backend, sdk: Sdk, fake: FakeModel
) -> None:
    fake.steps = sdk.steps("a", "wait", "b")
    source = backend.blocking(sdk.events())
    assert next(source).data == "a"
    source.close()
    wait_until(lambda: fake.left == [sdk.path])
    assert list(source) == []


@pytest.mark.parametrize("failure", [None, model_failure])
def test_an_error_of_the_model_fails_the_stream_and_reveals_nothing(
    backend: Backend,
    server: Server,
    client: Client,
    key: str,
    sdk: Sdk,
    fake: FakeModel,
    failure: Any,
) -> None:
    client.create_stream(key)
    fake.steps = [429]
    with pytest.raises(Exception, match=SECRET):
        pipe(backend, server, key, sdk, failure=failure)
    said = {
        None: '{"code":"error","message":"The producer failed"}',
        model_failure: '{"code":"model-busy","message":"The model is busy"}',
    }
    assert stored(client, key) == [("fail", said[failure])]


def test_a_connection_that_breaks_in_mid_answer_fails_the_stream(
    backend: Backend, server: Server, client: Client, key: str, sdk: Sdk, fake: FakeModel
) -> None:
    client.create_stream(key)
    fake.steps = sdk.steps("a", "cut")
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each SDK has an error of its own
        pipe(backend, server, key, sdk, failure=model_failure)
    assert tokens(client, key) == ["a"]
    assert stored(client, key)[-1][0] == "fail", raised
