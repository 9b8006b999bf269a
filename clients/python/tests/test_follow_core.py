"""What a subscription decides."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinistreamer import ApiError, Disconnected, Gap, Unreachable
from tinistreamer._follow import Follower, frames_of
from tinistreamer._sse import Frame, SseDecoder

URL = "http://127.0.0.1/api/client/sse?key=k"
BROKEN = Unreachable("broken")


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def follower(
    clock: Clock | None = None,
    *,
    after: str | None = None,
    asks: bool = False,
    silence: float = 45.0,
    give_up_after: float = 300.0,
) -> Follower:
    made = Follower(URL, after=after, silence=silence, give_up_after=give_up_after, asks_for_token=asks, clock=clock or Clock())
    made.token = "t"
    made.connecting()
    return made


def frame(number: int, name: str = "token") -> Frame:
    return Frame(f"5-{number}", name, "")


def missed(first: str) -> Frame:
    return Frame(None, "missedevents", json.dumps({"after": None, "first": first, "missed": 3}))


@given(st.integers(0, 50), st.integers(1, 50))
def test_an_event_that_does_not_follow_is_a_gap(before: int, step: int) -> None:
    subject = follower(after=f"5-{before}")
    if step == 1:
        assert subject.accept(frame(before + step)).id == f"5-{before + 1}"
        return
    with pytest.raises(Gap):
        subject.accept(frame(before + step))
    assert subject.last_id == f"5-{before}"


def test_a_repeated_event_is_a_gap() -> None:
    subject = follower()
    subject.accept(frame(0, "start"))
    with pytest.raises(Gap):
        subject.accept(frame(0, "start"))


def test_a_stream_begins_with_its_first_event_unless_it_says_otherwise() -> None:
    with pytest.raises(Gap):
        follower().accept(frame(4))
    subject = follower()
    told = subject.accept(missed("5-4"))
    assert told.id is None
    assert told.missed is not None
    assert (told.missed.after, told.missed.first, told.missed.missed) == (None, "5-4", 3)
    assert subject.accept(frame(4)).id == "5-4"


def test_after_missed_events_only_the_first_that_was_told_may_come() -> None:
    subject = follower(after="5-1")
    subject.accept(missed("6-4"))
    with pytest.raises(Gap):
        subject.accept(frame(4))


@pytest.mark.parametrize("event_id", [None, "", "5", "5-", "-5", "a-b", "5-1 "])
def test_an_event_without_a_good_id_is_a_gap(event_id: str | None) -> None:
    with pytest.raises(Gap):
        follower().accept(Frame(event_id, "token", ""))


@pytest.mark.parametrize(("name", "status"), [("end", "ended"), ("cancel", "cancelled")])
def test_the_last_event_gives_the_status_and_ends_it(name: str, status: str) -> None:
    subject = follower(after="5-6")
    subject.accept(frame(7, name))
    assert (subject.status, subject.is_over) == (status, True)


def test_it_goes_on_after_the_last_event_handed_out() -> None:
    subject = follower()
    assert subject.connecting() == {"Authorization": "Bearer t"}
    subject.accept(frame(0, "start"))
    assert subject.connecting() == {"Authorization": "Bearer t", "Last-Event-ID": "5-0"}


def test_delays_double_up_to_thirty_seconds_and_a_half_to_whole_of_them_is_waited() -> None:
    subject = follower()
    for whole in [1, 2, 4, 8, 16, 30, 30, 30]:
        assert whole / 2 <= subject.failed(BROKEN) <= whole


def test_an_event_ends_the_row_of_failures() -> None:
    subject = follower()
    for _ in range(5):
        subject.failed(BROKEN)
    subject.accept(frame(0, "start"))
    assert subject.failed(BROKEN) <= 1


def test_the_brokers_retry_is_the_first_delay() -> None:
    subject = follower()
    list(subject.decode(SseDecoder(), b"retry: 8000\n"))
    assert 4 <= subject.failed(BROKEN) <= 8
    assert 8 <= subject.failed(BROKEN) <= 16


@given(st.sampled_from([408, 429, 500, 502, 503]), st.floats(0, 100))
def test_it_connects_again_no_sooner_than_the_broker_wants(status: int, retry_after: float) -> None:
    assert follower().failed(ApiError(status, "busy", "", retry_after)) >= retry_after


@pytest.mark.parametrize("status", [200, 307, 400, 401, 403, 404, 410])
def test_other_errors_are_final(status: int) -> None:
    error = ApiError(status, "a-code", "")
    with pytest.raises(ApiError) as raised:
        follower().failed(error)
    assert raised.value is error


def test_a_token_that_is_no_longer_good_is_asked_for_anew_and_at_once() -> None:
    subject = follower(asks=True)
    subject.connected()
    assert subject.failed(ApiError(401, "token-expired", "")) == 0.0
    assert subject.token is None


def test_a_token_just_made_that_is_refused_is_an_error() -> None:
    subject = follower(asks=True)
    subject.took_token("new")
    with pytest.raises(ApiError):
        subject.failed(ApiError(401, "unauthorized", ""))


def test_it_gives_up_after_so_long_without_a_sign_of_life() -> None:
    clock = Clock()
    subject = follower(clock, give_up_after=10.0)
    clock.time = 9.0
    subject.hear()
    clock.time = 18.9
    assert subject.failed(BROKEN) <= 0.1 + 1e-9
    clock.time = 19.0
    with pytest.raises(Disconnected) as raised:
        subject.failed(BROKEN)
    assert raised.value.__cause__ is BROKEN


def test_a_heartbeat_is_no_silence() -> None:
    clock = Clock()
    subject = follower(clock, silence=5.0)
    clock.time = 4.0
    subject.hear()
    assert subject.silence_left(since=0.0) == 5.0


@pytest.mark.parametrize("url", ["http://h/api/client/ws", "ws://h/api/client/sse", "http://h/api", "ftp://h/sse", "sse"])
def test_a_url_of_no_subscription_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Follower(url, after=None, silence=1, give_up_after=1, asks_for_token=False)


def test_an_after_that_could_not_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="event id"):
        follower(after="5-1\n")


def test_websocket_messages_are_an_array_first_and_then_objects() -> None:
    assert (frames_of('[{"id":"5-0","event":"start"},{"event":"missedevents","data":"{}"}]')) == [
        Frame("5-0", "start", ""),
        Frame(None, "missedevents", "{}"),
    ]
    assert (frames_of('{"id":"5-1","event":"x","data":"y"}')) == [Frame("5-1", "x", "y")]


@pytest.mark.parametrize("message", ["", "3", "[3]", "{}", '"x"', "null"])
def test_a_message_of_another_form_breaks_the_connection(message: str) -> None:
    with pytest.raises(Unreachable):
        frames_of(message)
