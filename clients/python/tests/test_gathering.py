"""Strings that a writer gathers into one event, with a real broker and without I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from fake_routes import Route, fake_routes
from hypothesis import given
from hypothesis import strategies as st
from interfaces import DEADLINE, in_background, wait_until

from tinistreamer import Ack, Client
from tinistreamer._gathering import MAX_GATHERED, Gathering
from tinistreamer._outbox import Outbox
from tinistreamer._writer_options import WriterOptions

over_both = pytest.mark.parametrize("transport", ["ndjson", "websocket"])
HIGH, LOW = "\ud83d", "\ude00"
AN_HOUR = 3600.0


def stored(client: Client, key: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.data) for event in client.stream_events(key)][1:]


@over_both
def test_consecutive_strings_of_one_name_become_one_event(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    options: dict[str, Any] = {"transport": transport, "coalesce": AN_HOUR}
    acks: list[Ack] = []
    options["on_ack"] = acks.append
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        for word in ("a", "b", ""):
            writer.write("token", word)
        assert (writer.pending, writer.acknowledged) == (1, 0)
        writer.write("note", "c")
        writer.write("token", "d")
        writer.write("token", "e")
        writer.write("usage", {"tokens": 5})
        writer.write("token", "f")
        writer.flush()
        assert (writer.pending, writer.acknowledged) == (0, 5)
        assert [data for _, data in stored(client, key)] == ["ab", "c", "de", '{"tokens":5}', "f"]
        writer.write("token", "g")
        writer.write("token", "h")
    assert stored(client, key)[-2:] == [("token", "gh"), ("end", None)]
    assert acks[-1].count == writer.acknowledged == 6


@over_both
def test_what_is_gathered_is_sent_by_itself_after_its_time(
    backend: Backend, server: Server, client: Client, key: str, transport: str
) -> None:
    client.create_stream(key)
    options: dict[str, Any] = {"transport": transport, "coalesce": 0.05}
    with backend.publish(server.url, server.api_key, key, **options) as writer:
        for expected in ("ab", "cd"):
            for letter in expected:
                writer.write("token", letter)
            wait_until(lambda: writer.pending == 0)
        texts = [data or "" for _, data in stored(client, key)]
        # On a busy machine the time may pass between two letters.
        assert "".join(texts) == "abcd"
        writer.write("other")
        wait_until(lambda: writer.pending == 0)


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("finish", [("token", "ab"), ("end", None)]),
        ("close", [("token", "ab")]),
        ("fail", [("token", "ab"), ("fail", '{"code":"error","message":""}')]),
        ("leave", [("token", "ab"), ("end", None)]),
        ("raise", [("token", "ab"), ("fail", '{"code":"error","message":"The producer failed"}')]),
        ("stop", [("token", "ab"), ("cancel", '{"reason":"stop","by":"api-key"}')]),
        # Only `cancel` drops events.
        ("cancel", [("cancel", None)]),
    ],
)
def test_the_end_of_the_writer_sends_what_is_gathered(
    backend: Backend, server: Server, client: Client, key: str, end: str, last: Any
) -> None:
    client.create_stream(key, stop_grace=600)

    def produce() -> None:
        with backend.publish(server.url, server.api_key, key, coalesce=AN_HOUR) as writer:
            writer.write("token", "a")
            writer.write("token", "b")
            if end == "stop":
                client.send_signal(key, "stop")
                writer.stopped()
            elif end == "raise":
                raise KeyError
            elif end != "leave":
                getattr(writer, end)()

    if end == "raise":
        with pytest.raises(KeyError):
            produce()
    else:
        produce()
    assert stored(client, key) == last


def test_split_characters_are_joined_first(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    with backend.publish(server.url, server.api_key, key, coalesce=AN_HOUR) as writer:
        for part in (f"a{HIGH}", f"{LOW}b", HIGH, "c", f"{LOW}d{HIGH}"):
            writer.write("token", part)
    assert stored(client, key) == [
        ("token", "a😀b\ufffdc\ufffdd"),
        ("token", "\ufffd"),
        ("end", None),
    ]


@over_both
def test_a_full_writer_still_gathers_and_then_waits(backend: Backend, transport: str) -> None:
    routes: dict[str, Route] = {
        "/api/event/add/json-stream": lambda _: None,
        "/api/event/add/ws-stream": lambda _: None,
    }
    options: dict[str, Any] = {"transport": transport, "coalesce": AN_HOUR, "max_pending": 2}
    options["timeout"] = 1
    with fake_routes(routes) as fake:
        writer = backend.publish(fake.url, "key", "k", lease=0, **options)
        writer.write("token", {"first": True})
        for _ in range(100):
            writer.write("token", "x")
        assert writer.pending == 2
        waiting = in_background(lambda: writer.write("other", "y"))
        wait_until(lambda: bool(fake.asked))
        assert not waiting.done()
        writer.cancel()
        assert waiting.exception(DEADLINE) is not None
        assert writer.pending == 0


def gathering(now: list[float], window: float = 1.0) -> Gathering:
    return Gathering(window, clock=lambda: now[0])


def test_the_time_counts_from_the_first_string() -> None:
    now = [100.0]
    subject = gathering(now)
    assert subject.left is None
    assert subject.add("token", "a") == []
    now[0] = 100.75
    assert subject.add("token", "b") == []
    assert subject.left == 0.25
    now[0] = 102.0
    assert subject.left == 0.0
    assert subject.take() == [("token", "ab")]
    assert (subject.left, subject.take()) == (None, [])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3 * MAX_GATHERED)), max_size=12))
def test_no_event_gathers_more_than_64_kib_and_nothing_is_lost(
    writes: list[tuple[str, int]],
) -> None:
    subject = gathering([0.0])
    found: list[tuple[str, str]] = []
    largest = max((size for _, size in writes), default=0)
    for event, size in writes:
        takes = subject.takes(event, "x" * size)
        before = len(subject)
        complete = subject.add(event, "x" * size)
        assert not takes or len(complete) + len(subject) == before
        found += complete
    found += subject.take()
    for name in "ab":
        written = sum(size for event, size in writes if event == name)
        assert sum(len(text) for event, text in found if event == name) == written
    # A single longer string is one event, as without gathering.
    assert all(len(text) <= max(MAX_GATHERED, largest) for _, text in found)


def test_the_limit_counts_bytes() -> None:
    subject = gathering([0.0])
    assert subject.add("token", "é" * (MAX_GATHERED // 2 - 1)) == []
    assert not subject.takes("token", "é")
    assert subject.add("token", "éa") == [("token", "é" * (MAX_GATHERED // 2 - 1))]
    assert subject.add("token", "b" * (MAX_GATHERED - 3)) == [
        ("token", "éa" + "b" * (MAX_GATHERED - 3))
    ]
    assert len(subject) == 0


def test_a_writer_that_has_failed_or_was_stopped_gathers_no_more() -> None:
    options = WriterOptions("k", "ndjson", 1, 60.0, None, coalesce=AN_HOUR)
    subject = Outbox(options, timeout=10.0)
    subject.add("token", "a", "")
    subject.drop()
    assert subject.pending == 0
    subject = Outbox(options, timeout=10.0)
    subject.add("token", "a", "")
    assert subject.must_wait("other", "b")
    assert not subject.must_wait("token", "b")
    subject.end()
    assert json.loads(subject.take()[0]) == {"event": "token", "data": "a"}


@pytest.mark.parametrize("coalesce", [-0.1, float("nan")])
def test_another_time_is_refused(coalesce: float) -> None:
    with pytest.raises(ValueError, match="coalesce is not negative"):
        WriterOptions("k", "ndjson", 1, 60.0, None, coalesce=coalesce)
