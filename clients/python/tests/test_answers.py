"""Answers in the background, with tasks and with threads, and a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from fake_routes import fake_routes
from interfaces import DEADLINE, in_background, wait_until

from tinistreamer import (
    AnswerNotFound,
    ApiError,
    AsyncWriter,
    Client,
    TooManyAnswers,
    Unreachable,
    Writer,
    subscribe,
)

BY_PAGE = ("cancel", '{"reason":"stop","by":"user-7"}')
INTERRUPTED = ("fail", '{"code":"interrupted","message":"The producer was interrupted"}')
ACCESS = {"expires_at": "", "sse_url": "http://h/sse", "token": "t", "ws_url": "", "created": True}


class Producer:
    """Writes texts. Then it ends, waits until `release`, or fails."""

    def __init__(self, *texts: str, then: str = "end") -> None:
        self._texts = texts
        self._then = then
        self._release = threading.Event()
        self.ended = threading.Event()

    def release(self) -> None:
        self._release.set()

    def of(self, backend: Backend) -> Any:
        return self._in_task if backend.is_async else self._in_thread

    def _in_thread(self, writer: Writer) -> None:
        try:
            for text in self._texts:
                writer.write("token", text)
            if self._then != "end":
                while not self._release.wait(0.01):
                    # As a model does that goes on.
                    if self._then == "write":
                        writer.write("token", "more")
                writer.write("token", "last")
        finally:
            self.ended.set()
        self._fail()

    async def _in_task(self, writer: AsyncWriter) -> None:
        try:
            for text in self._texts:
                await writer.write("token", text)
            if self._then != "end":
                while not self._release.is_set():
                    await asyncio.sleep(0.01)
                await writer.write("token", "last")
        finally:
            self.ended.set()
        self._fail()

    def _fail(self) -> None:
        if self._then == "fail":
            raise KeyError("secret")


@pytest.fixture
def producers() -> Iterator[list[Producer]]:
    made: list[Producer] = []
    yield made
    for each in made:
        each.release()


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


def answers_of(backend: Backend, server: Server, **options: Any) -> Any:
    return backend.answers(url=server.url, api_key=server.api_key, **options)


def errors_of(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Returns the list that gets the errors of all answers."""
    seen: list[Any] = []

    def take(args: threading.ExceptHookArgs) -> None:
        seen.append(args.exc_value)

    monkeypatch.setattr(threading, "excepthook", take)

    def listen() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))

    if backend.is_async:
        backend.call(listen)
    return seen


def test_an_answer_goes_on_after_its_request_and_a_page_follows_it(
    backend: Backend, server: Server, client: Client, producers: list[Producer]
) -> None:
    producers.append(Producer("a", "b", then="wait"))
    answers = answers_of(backend, server)
    access = answers.start(producers[0].of(backend))
    assert set(access) == {"key", "sse_url", "token"}
    assert access["key"].startswith("answer-")
    wait_until(lambda: len(stored(client, access["key"])) == 2)
    assert answers.running == 1
    producers[0].release()
    with subscribe(access=access) as events:
        assert events.text() == "ablast"
    assert events.status == "ended"
    wait_until(lambda: answers.running == 0)


def test_each_answer_has_a_key_of_its_own(backend: Backend, server: Server) -> None:
    answers = answers_of(backend, server)
    keys = {answers.start(Producer().of(backend))["key"] for _ in range(3)}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {len("answer-") + 22}


def test_a_page_stops_its_answer(
    backend: Backend, server: Server, client: Client, producers: list[Producer]
) -> None:
    producers.append(Producer("a", then="write"))
    access = answers_of(backend, server).start(producers[0].of(backend), subject="user-7")
    with subscribe(access=access) as events:
        events.request_stop()
        assert [event.event for event in events][-1] == "cancel"
    # Not released: the stop ends it.
    assert producers[0].ended.wait(DEADLINE)
    assert stored(client, access["key"])[-1] == BY_PAGE


def test_a_page_gets_no_more_than_the_permissions(backend: Backend, server: Server) -> None:
    access = answers_of(backend, server, permissions=["read"]).start(["a"])
    with subscribe(access=access) as events, pytest.raises(ApiError, match="permi"):
        events.request_stop()


def test_a_source_is_piped(backend: Backend, server: Server, client: Client) -> None:
    access = answers_of(backend, server).start(iter(["a", "b"]))
    wait_until(lambda: len(stored(client, access["key"])) == 3)
    assert stored(client, access["key"]) == [("token", "a"), ("token", "b"), ("end", None)]


def test_an_access_for_a_page_that_comes_back(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    answers = answers_of(backend, server)
    first = answers.start(["a"])
    second = answers.access(first["key"], subject="user-7")
    assert {**second, "token": ""} == {**first, "token": ""}
    assert second["token"] != first["token"]
    with subscribe(access=second) as events:
        assert events.text() == "a"
        # A token for signals as well: otherwise it would be refused.
        assert events.request_stop() is None
    # A stream of somebody else, and none at all.
    client.create_stream(key)
    for other in (key, "answer-none"):
        with pytest.raises(AnswerNotFound) as raised:
            answers.access(other)
        assert raised.value.code == "stream-not-found"
    with pytest.raises(ValueError, match="begins with 'answer-'"):
        answers.start(["a"], key=key)


def test_an_error_fails_the_stream_and_reaches_the_handler_of_errors(
    backend: Backend,
    server: Server,
    client: Client,
    producers: list[Producer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = errors_of(backend, monkeypatch)
    producers.append(Producer("a", then="fail"))
    producers[0].release()
    access = answers_of(backend, server).start(producers[0].of(backend))
    wait_until(lambda: len(seen) == 1)
    assert repr(seen[0]) == "KeyError('secret')"
    said = '{"code":"error","message":"The producer failed"}'
    assert stored(client, access["key"])[-1] == ("fail", said)


def test_the_end_waits_for_answers_that_end_in_time(
    backend: Backend, server: Server, client: Client, producers: list[Producer]
) -> None:
    producers.append(Producer("a", then="wait"))
    answers = answers_of(backend, server, grace=DEADLINE)
    access = answers.start(producers[0].of(backend))
    closed = in_background(answers.close)
    wait_until(lambda: len(stored(client, access["key"])) == 1)
    producers[0].release()
    closed.result(DEADLINE)
    assert stored(client, access["key"]) == [("token", "a"), ("token", "last"), ("end", None)]


def test_the_end_fails_the_streams_of_the_others(
    backend: Backend, server: Server, client: Client, producers: list[Producer]
) -> None:
    producers.extend(Producer("a", then="wait") for _ in range(3))
    answers = answers_of(backend, server, grace=0.0)
    keys = [answers.start(each.of(backend))["key"] for each in producers]
    wait_until(lambda: all(len(stored(client, key)) == 1 for key in keys))
    answers.close()
    assert [stored(client, key) for key in keys] == [[("token", "a"), INTERRUPTED]] * 3
    # It can be used again.
    again = answers.start(["b"])["key"]
    wait_until(lambda: stored(client, again) == [("token", "b"), ("end", None)])


def test_the_end_is_bounded_also_without_a_broker(
    backend: Backend,
    producers: list[Producer],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = "_async" if backend.is_async else "_sync"
    monkeypatch.setattr(f"tinistreamer.{module}.answers.LEAVE", 0.3)
    producers.append(Producer(then="wait"))
    # It never answers these requests.
    with fake_routes(
        {"/api/stream": lambda _: (200, ACCESS), "/api/stream/fail": lambda _: None}
    ) as fake:
        answers = backend.answers(url=fake.url, api_key="k", grace=0.0)
        answers.start(producers[0].of(backend))
        in_background(answers.close).result(DEADLINE)
        producers[0].release()
        fake.over.set()
    # A task is cancelled again. A thread goes on.
    assert ("1 answers did not end in time" in caplog.text) != backend.is_async


def test_no_more_than_so_many_at_once_also_while_they_begin(
    backend: Backend, producers: list[Producer]
) -> None:
    asked = threading.Barrier(3)

    def create(_: dict[str, Any]) -> Any:
        asked.wait(DEADLINE)
        return (200, ACCESS)

    with fake_routes({"/api/stream": create}) as fake:
        producers.extend(Producer(then="wait") for _ in range(4))
        answers = backend.answers(url=fake.url, api_key="k", max_running=2, grace=0.0)
        begun = [in_background(partial(answers.start, each.of(backend))) for each in producers[:2]]
        wait_until(lambda: asked.n_waiting == 2)
        with pytest.raises(TooManyAnswers) as raised:
            answers.start(producers[2].of(backend))
        assert raised.value.code == "too-many-answers"
        asked.wait(DEADLINE)
        for one in begun:
            one.result(DEADLINE)
        with pytest.raises(TooManyAnswers):
            answers.start(producers[3].of(backend))
        # The lease begins with the stream, because the process may die before the first event.
        assert [body["lease"] for body in fake.bodies("/api/stream")] == [30, 30]
        assert answers.running == 2
        for each in producers:
            each.release()
        wait_until(lambda: answers.running == 0)


class Source:
    """A source that is closed."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> str:
        raise StopIteration

    def close(self) -> None:
        self.closed = True


def test_an_answer_that_runs_already_goes_on(
    backend: Backend, server: Server, client: Client, key: str, producers: list[Producer]
) -> None:
    producers.append(Producer("a", then="wait"))
    answers = answers_of(backend, server, prefix="test-")
    answers.start(producers[0].of(backend), key=key)
    refused, unused = Source(), Source()
    with pytest.raises(ApiError, match="existing-stream"):
        answers.start(refused, key=key)
    attached = answers.start(unused, key=key, if_exists="attach")
    assert (refused.closed, unused.closed) == (True, True)
    producers[0].release()
    with subscribe(access=attached) as events:
        assert events.text() == "alast"
    assert stored(client, key)[-1] == ("end", None)


def test_an_answer_never_writes_into_another_stream_at_its_key(
    backend: Backend,
    server: Server,
    client: Client,
    producers: list[Producer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = errors_of(backend, monkeypatch)
    producers.append(Producer("a", then="wait"))
    access = answers_of(backend, server).start(producers[0].of(backend))
    wait_until(lambda: len(stored(client, access["key"])) == 1)
    client.create_stream(access["key"], if_exists="replace")
    producers[0].release()
    wait_until(lambda: len(seen) == 1)
    assert seen[0].code == "stale-generation"
    assert stored(client, access["key"]) == []


@pytest.mark.parametrize("prefix", ["TINISTREAMER", "STREAMER"])
def test_the_settings_may_be_in_the_environment(
    backend: Backend, server: Server, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name in ("TINISTREAMER_URL", "TINISTREAMER_API_KEY", "STREAMER_URL", "STREAMER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    answers = backend.answers()
    with pytest.raises(ValueError, match="URL is missing: set TINISTREAMER_URL, or pass url"):
        answers.start(["a"])
    monkeypatch.setenv(f"{prefix}_URL", server.url)
    with (
        pytest.raises(ValueError, match="key is missing: set TINISTREAMER_API_KEY, or pass api_"),
        answers,
    ):
        pass
    monkeypatch.setenv(f"{prefix}_API_KEY", server.api_key)
    with answers:
        assert answers.access(answers.start(["a"])["key"])
    # An argument counts more.
    with pytest.raises(Unreachable):
        backend.answers(url="http://127.0.0.1:1").start(["a"])


@pytest.mark.parametrize("options", [{"grace": -1.0}, {"grace": float("nan")}, {"max_running": 0}])
def test_options_that_make_no_sense(backend: Backend, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"grace|max_running"):
        backend.answers(**options)


def test_a_client_of_the_caller_is_used_and_not_closed(backend: Backend, client: Client) -> None:
    if backend.is_async:
        pytest.skip("The blocking client of this test is for threads")
    answers = backend.answers(client=client)
    assert answers.client is client
    key = answers.start(["a"])["key"]
    answers.close()
    assert stored(client, key)[-1] == ("end", None)
