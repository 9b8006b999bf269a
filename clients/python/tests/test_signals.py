"""Signals: how a writer hears them, with a real broker, a broken one, and without I/O."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from fake_routes import NOT_FOUND, Answer, fake_routes
from interfaces import DEADLINE, in_background, wait_until
from proxy import Proxy

from tinistreamer import ApiError, Client, SignalRecord, Signals, Unreachable
from tinistreamer._hearing import Hearing

SIGNALS = "/api/stream/signals"


def record(seq: int, name: str = "steer", by: str | None = None) -> SignalRecord:
    return SignalRecord(seq=seq, name=name, by=by, time="")


def answer(*signals: SignalRecord, status: str = "active") -> Signals:
    return Signals(signals=list(signals), stream_status=status)


def test_each_signal_counts_once_and_the_next_poll_asks_for_those_that_follow() -> None:
    subject = Hearing("k", "a" * 32)
    assert subject.poll().params == {
        "key": "k",
        "after": 0,
        "generation": "a" * 32,
        "wait": 20,
    }
    assert subject.heard(answer(record(1), record(2))) is None
    # A repeated answer.
    assert subject.heard(answer(record(1), record(2), record(3))) is None
    assert [signal.seq for signal in subject.signals] == [1, 2, 3]
    assert (subject.poll().params or {})["after"] == 3
    stop = subject.heard(answer(record(4), record(5, "stop", "user-7")))
    assert stop is not None
    assert (stop.by, stop.signal) == ("user-7", record(5, "stop", "user-7"))


@pytest.mark.parametrize("status", ["ended", "failed", "abandoned", "cancelled"])
def test_the_hearing_ends_with_the_stream_after_all_signals(status: str) -> None:
    subject = Hearing("k", None)
    subject.heard(answer(record(1), status=status))
    assert not subject.is_over
    stop = subject.heard(answer(status=status))
    assert subject.is_over
    assert (stop is not None) == (status == "cancelled")
    if stop is not None:
        assert (stop.by, stop.signal) == (None, None)


def test_a_cancelled_stream_was_stopped_by_who_has_sent_the_signal() -> None:
    subject = Hearing("k", None)
    subject.heard(answer(record(1, "stop", "user-7")))
    stop = subject.heard(answer(status="cancelled"))
    assert stop is not None
    assert stop.by == "user-7"


def hearing(now: list[float]) -> Hearing:
    return Hearing("k", None, clock=lambda: now[0])


def test_delays_double_up_to_thirty_seconds_and_respect_retry_after() -> None:
    subject = hearing([100.0])
    for whole in [1, 2, 4, 8, 16, 30, 30]:
        subject.failed(Unreachable("broken"))
        assert whole / 2 <= subject.left <= whole
    subject.failed(ApiError(429, "too-many-producers", "", 40.0))
    assert subject.left == 40.0
    subject.heard(answer(record(1)))
    subject.failed(ApiError(503, "store-unavailable", ""))
    assert subject.left <= 1
    assert not subject.is_over


def test_polls_that_bring_nothing_make_no_loop_without_a_pause() -> None:
    now = [100.0]
    subject = hearing(now)
    subject.poll()
    subject.heard(answer())
    assert subject.left == 1.0
    now[0] += 1.0
    subject.poll()
    now[0] += 20.0
    subject.heard(answer())
    assert subject.left == 0.0
    subject.poll()
    subject.heard(answer(record(1)))
    assert subject.left == 0.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_other_errors_end_the_hearing(status: int) -> None:
    subject = hearing([100.0])
    error = ApiError(status, "a-code", "")
    subject.failed(error)
    assert (subject.is_over, subject.failure) == (True, error)


def first(signals: Iterator[SignalRecord], count: int) -> list[tuple[int, str, Any]]:
    found = [next(signals) for _ in range(count)]
    return [(signal.seq, signal.name, signal.data) for signal in found]


def test_signals_come_in_order_from_the_first_one_and_end_with_the_writer(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    client.send_signal(key, "early", data=[1])
    writer = backend.publish(server.url, server.api_key, key)
    signals = writer.signals()
    assert first(signals, 1) == [(1, "early", [1])]
    client.send_signal(key, "steer")
    client.send_signal(key, "stop")
    client.send_signal(key, "approve", data={"a": None})
    rest = [(2, "steer", None), (3, "stop", None), (4, "approve", {"a": None})]
    assert first(signals, 3) == rest
    # A second iteration gets all of them again.
    assert first(writer.signals(), 4) == [(1, "early", [1]), *rest]
    ended = in_background(lambda: list(signals))
    writer.finish()
    assert ended.result(DEADLINE) == []
    assert [signal.seq for signal in writer.signals()] == [1, 2, 3, 4]


def test_signals_end_with_the_stream(
    backend: Backend, server: Server, client: Client, key: str
) -> None:
    client.create_stream(key)
    writer = backend.publish(server.url, server.api_key, key)
    ended = in_background(lambda: list(writer.signals()))
    client.send_signal(key, "steer")
    client.end_stream(key)
    assert [signal.name for signal in ended.result(DEADLINE)] == ["steer"]
    assert writer.stopped(0.0) is None


def test_signals_survive_cuts_and_come_once(
    backend: Backend, server: Server, proxy: Proxy, client: Client, key: str
) -> None:
    client.create_stream(key)
    writer = backend.publish(proxy.url, server.api_key, key, lease=0)
    signals = writer.signals()
    for number in range(3):
        client.send_signal(key, f"a-{number}")
        assert first(signals, 1) == [(2 * number + 1, f"a-{number}", None)]
        proxy.cut()
        client.send_signal(key, f"b-{number}")
        assert first(signals, 1) == [(2 * number + 2, f"b-{number}", None)]
    assert proxy.connections > 3
    writer.finish()


def test_a_route_that_never_answers_delays_nothing_and_its_connection_is_closed_at_once(
    backend: Backend,
) -> None:
    with fake_routes({SIGNALS: lambda _: None}) as fake:
        with backend.publish(fake.url, "key", "k") as writer:
            assert writer.stopped(0.01) is None
            hearing = in_background(lambda: list(writer.signals()))
            wait_until(lambda: bool(fake.bodies(SIGNALS)))
            writer.write("token", "x")
            writer.flush()
        wait_until(lambda: SIGNALS in fake.left)
        assert hearing.result(DEADLINE) == []
        assert fake.asked[-1][0] == "/api/stream/end"


def test_the_connection_is_also_closed_at_once_after_answers(backend: Backend) -> None:
    def poll(body: dict[str, Any]) -> Answer:
        signals = [{"seq": 1, "name": "steer", "time": ""}] if "after=0" in body["query"] else []
        return (200, {"signals": signals, "stream_status": "active"}) if signals else None

    with fake_routes({SIGNALS: poll}) as fake:
        writer = backend.publish(fake.url, "key", "k")
        assert next(writer.signals()).name == "steer"
        wait_until(lambda: len(fake.bodies(SIGNALS)) == 2)
        writer.finish()
        wait_until(lambda: fake.left == [SIGNALS])


def test_a_broker_without_signals_ends_the_hearing_and_the_writer_goes_on(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with fake_routes({SIGNALS: lambda _: NOT_FOUND}) as fake:
        with backend.publish(fake.url, "key", "k") as writer:
            for _ in range(2):
                with pytest.raises(ApiError) as raised:
                    list(writer.signals())
                assert (raised.value.status, raised.value.code) == (404, "not-found")
            assert writer.stopped(0.01) is None
            writer.write("token", "x")
        assert fake.asked[-1][0] == "/api/stream/end"
        assert len(fake.bodies(SIGNALS)) == 1
    assert "The writer hears no more signals: HTTP 404 (not-found)" in caplog.text


def test_a_broker_that_is_busy_is_asked_again(backend: Backend) -> None:
    answers: Iterator[Answer] = iter(
        [
            (503, {"code": "store-unavailable", "message": ""}),
            (200, {"signals": [{"seq": 1, "name": "stop", "time": ""}], "stream_status": "active"}),
        ]
    )
    with fake_routes({SIGNALS: lambda _: next(answers, None)}) as fake:
        writer = backend.publish(fake.url, "key", "k")
        assert writer.stopped().signal.seq == 1
        writer.cancel()


def test_the_hearing_opens_with_its_first_use_only(backend: Backend) -> None:
    with fake_routes({SIGNALS: lambda _: None}) as fake:
        with backend.publish(fake.url, "key", "k", lease=0) as writer:
            writer.write("token", "x")
            writer.flush()
        assert fake.bodies(SIGNALS) == []


def test_threads_may_share_the_signals(client: Client, key: str) -> None:
    client.create_stream(key)
    found: list[list[int]] = []
    writer = client.publish(key)
    threads = [
        threading.Thread(target=lambda: found.append([each.seq for each in writer.signals()]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for number in range(20):
        client.send_signal(key, f"s{number}")
    signals = writer.signals()
    for _ in range(20):
        next(signals)
    writer.finish()
    for thread in threads:
        thread.join(DEADLINE)
    assert found == [list(range(1, 21))] * 4
