"""How a subscription to one stream connects, checks events and connects again. No I/O."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinistreamer import ApiError, Disconnected, Event, Gap, Unreachable
from tinistreamer._follower import Follower
from tinistreamer._frames import Frame
from tinistreamer._positions import OneStream
from tinistreamer._request import SubscribeRequest, transport_of

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
    events: list[str] | None = None,
    from_: str | None = None,
    asks: bool = False,
    silence: float = 45.0,
    give_up_after: float = 300.0,
) -> Follower[OneStream]:
    streams = OneStream(SubscribeRequest.of(URL, events=events, from_=from_), after)
    made = Follower(
        streams,
        silence=silence,
        give_up_after=give_up_after,
        asks_for_token=asks,
        clock=clock or Clock(),
    )
    made.token = "t"
    made.begin_attempt()
    return made


def frame(number: int, name: str = "token") -> Frame:
    return Frame(f"5-{number}", name, "")


def accepted(subject: Follower[OneStream], *frames: Frame) -> Event:
    """Returns the last event of the frames."""
    subject.receive(list(frames))
    events: list[Event] = []
    while subject.streams.has_frames:
        if (event := subject.streams.take()) is not None:
            events.append(event)
    return events[-1]


def missed(first: str) -> Frame:
    return Frame(None, "missedevents", json.dumps({"after": None, "first": first, "missed": 3}))


@given(st.integers(0, 50), st.integers(1, 50))
def test_an_event_that_does_not_follow_is_a_gap(before: int, step: int) -> None:
    subject = follower(after=f"5-{before}")
    if step == 1:
        assert accepted(subject, frame(before + step)).id == f"5-{before + 1}"
        return
    with pytest.raises(Gap):
        accepted(subject, frame(before + step))
    assert subject.streams.sequence.position == f"5-{before}"


def test_a_repeated_event_is_a_gap() -> None:
    subject = follower()
    accepted(subject, frame(0, "start"))
    with pytest.raises(Gap):
        accepted(subject, frame(0, "start"))


def test_a_stream_starts_with_its_first_event_unless_a_loss_is_reported() -> None:
    with pytest.raises(Gap):
        accepted(follower(), frame(4))
    subject = follower()
    loss = accepted(subject, missed("5-4"))
    assert loss.id is None
    assert loss.missed is not None
    assert (loss.missed.after, loss.missed.first, loss.missed.missed) == (None, "5-4", 3)
    assert accepted(subject, frame(4)).id == "5-4"


def test_after_a_loss_only_the_reported_event_may_follow() -> None:
    subject = follower(after="5-1")
    accepted(subject, missed("6-4"))
    with pytest.raises(Gap):
        accepted(subject, frame(4))


@pytest.mark.parametrize("event_id", [None, "", "5", "5-", "-5", "a-b", "5-1 "])
def test_an_event_without_a_valid_id_is_a_gap(event_id: str | None) -> None:
    with pytest.raises(Gap):
        accepted(follower(), Frame(event_id, "token", ""))


@pytest.mark.parametrize(("name", "status"), [("end", "ended"), ("cancel", "cancelled")])
def test_the_last_event_sets_the_status_and_ends_the_iteration(name: str, status: str) -> None:
    subject = follower(after="5-6")
    accepted(subject, frame(7, name))
    assert (subject.streams.sequence.status, subject.streams.is_over) == (status, True)


def test_the_next_connection_continues_after_the_last_yielded_event() -> None:
    subject = follower()
    assert subject.begin_attempt().headers == {"Authorization": "Bearer t"}
    accepted(subject, frame(0, "start"))
    assert subject.begin_attempt().headers == {"Authorization": "Bearer t", "Last-Event-ID": "5-0"}


def test_delays_double_up_to_thirty_seconds_with_jitter_between_half_and_whole() -> None:
    subject = follower()
    for whole in [1, 2, 4, 8, 16, 30, 30, 30]:
        assert whole / 2 <= subject.failed(BROKEN) <= whole


def test_an_event_resets_the_retry_delay() -> None:
    subject = follower()
    for _ in range(5):
        subject.failed(BROKEN)
    accepted(subject, frame(0, "start"))
    assert subject.failed(BROKEN) <= 1


def test_the_brokers_retry_is_the_first_delay() -> None:
    subject = follower()
    subject.decoder("sse")(b"retry: 8000\n")
    assert 4 <= subject.failed(BROKEN) <= 8
    assert 8 <= subject.failed(BROKEN) <= 16


@given(st.sampled_from([408, 429, 500, 502, 503]), st.floats(0, 100))
def test_the_next_attempt_respects_retry_after(status: int, retry_after: float) -> None:
    assert follower().failed(ApiError(status, "busy", "", retry_after)) >= retry_after


@pytest.mark.parametrize("status", [200, 307, 400, 401, 403, 404, 410])
def test_other_errors_are_final(status: int) -> None:
    error = ApiError(status, "a-code", "")
    with pytest.raises(ApiError) as raised:
        follower().failed(error)
    assert raised.value is error


def test_a_token_that_is_no_longer_valid_is_replaced_at_once() -> None:
    subject = follower(asks=True)
    subject.connected()
    assert subject.failed(ApiError(401, "token-expired", "")) == 0.0
    assert subject.token is None


def test_a_new_token_that_is_refused_is_an_error() -> None:
    subject = follower(asks=True)
    subject.set_new_token("new")
    with pytest.raises(ApiError):
        subject.failed(ApiError(401, "unauthorized", ""))


def test_a_subscription_without_activity_fails_after_give_up_after() -> None:
    clock = Clock()
    subject = follower(clock, give_up_after=10.0)
    clock.time = 9.0
    subject.record_activity()
    clock.time = 18.9
    assert subject.failed(BROKEN) <= 0.1 + 1e-9
    clock.time = 19.0
    with pytest.raises(Disconnected) as raised:
        subject.failed(BROKEN)
    assert raised.value.__cause__ is BROKEN


def test_a_heartbeat_ends_silence() -> None:
    clock = Clock()
    subject = follower(clock, silence=5.0)
    clock.time = 4.0
    subject.record_activity()
    assert subject.silence_left(since=0.0) == 5.0


@pytest.mark.parametrize(
    "url",
    [
        "http://h/api/client/ws",
        "ws://h/api/client/sse",
        "http://h/api",
        "ftp://h/sse",
        "ws://h/poll",
        "sse",
    ],
)
def test_a_url_that_is_not_for_subscribers_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="none of the broker's"):
        transport_of(url)


def test_an_after_that_a_header_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="event id"):
        follower(after="5-1\n")


@given(st.integers(0, 20), st.integers(0, 20))
def test_with_a_filter_event_numbers_may_have_holes_but_only_rise(before: int, number: int) -> None:
    subject = follower(after=f"5-{before}", events=["token"])
    if number > before:
        assert accepted(subject, frame(number)).id == f"5-{number}"
        return
    with pytest.raises(Gap):
        accepted(subject, frame(number))


def test_with_a_filter_the_first_event_may_have_any_number() -> None:
    assert accepted(follower(events=["token"]), frame(7)).id == "5-7"


def test_with_a_filter_a_later_event_may_follow_a_loss() -> None:
    subject = follower(after="5-1", events=["token"])
    accepted(subject, missed("5-4"))
    with pytest.raises(Gap):
        accepted(subject, frame(3))
    subject = follower(after="5-1", events=["token"])
    assert accepted(subject, missed("5-4"), frame(6)).id == "5-6"


def test_a_position_moves_the_subscription_and_is_not_an_event() -> None:
    subject = follower(after="5-1", events=["token"])
    subject.receive([Frame("5-6", None)])
    assert subject.streams.take() is None
    assert subject.begin_attempt().headers["Last-Event-ID"] == "5-6"
    with pytest.raises(Gap):
        accepted(subject, frame(6))


def test_without_a_filter_a_position_that_skips_events_is_a_gap() -> None:
    subject = follower(after="5-1")
    subject.receive([Frame("5-1", None), Frame("5-2", None)])
    assert subject.streams.take() is None
    with pytest.raises(Gap):
        subject.streams.take()


@pytest.mark.parametrize("from_", ["now", "-3", "2026-01-01T00:00:00Z"])
def test_with_another_start_position_a_stream_starts_after_its_position(from_: str) -> None:
    subject = follower(from_=from_)
    subject.receive([Frame("5-6", None)])
    assert subject.streams.take() is None
    with pytest.raises(Gap):
        accepted(subject, frame(8))
    assert accepted(follower(from_=from_), frame(8)).id == "5-8"


def test_from_start_starts_at_the_first_event() -> None:
    with pytest.raises(Gap):
        accepted(follower(from_="start"), frame(1))


@pytest.mark.parametrize(
    ("silence", "give_up", "wait"),
    [(45, 300, 25), (26, 300, 25), (2.5, 300, 2), (45, 9, 4), (0.1, 300, 1)],
)
def test_a_poll_waits_no_longer_than_silence_and_half_of_give_up_after(
    silence: float, give_up: float, wait: int
) -> None:
    assert follower(silence=silence, give_up_after=give_up).poll_wait == wait


def test_a_poll_continues_after_the_cursor() -> None:
    subject = follower()
    assert subject.begin_poll(25).url == f"{URL}&wait=25"
    subject.receive([frame(0, "start"), Frame("5-0", None)])
    assert subject.streams.take() is not None
    assert subject.streams.take() is None
    assert subject.begin_poll(25).url == f"{URL}&after=5-0&wait=25"


def test_options_are_parameters_of_each_request() -> None:
    request = SubscribeRequest.of(
        URL,
        events=["alert", "metric*"],
        from_="-5",
        wait=True,
        client_name="a desk",
        tags=["x", "y"],
    )
    streams = OneStream(request, None)
    assert streams.begin_connection().url == (
        f"{URL}&events=alert%2Cmetric%2A&client_name=a%20desk&tags=x%2Cy&from=-5&wait=true"
    )


@pytest.mark.parametrize("names", ["alert", ["alert,metric"]])
def test_a_list_that_the_broker_would_split_differently_is_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="list of names"):
        SubscribeRequest.of(URL, events=names)


@pytest.mark.parametrize("loss", [b"\n", b'{"key":"k","id":"5-6"}\n\n'])
def test_after_all_positions_a_stream_without_one_starts_with_its_first_event(
    loss: bytes,
) -> None:
    subject = follower(from_="now")
    assert "from=now" in subject.begin_attempt().url
    subject.receive(subject.decoder("ndjson")(loss))
    while subject.streams.has_frames:
        assert subject.streams.take() is None
    assert "from" not in subject.begin_attempt().url
    assert subject.begin_attempt().headers.get("Last-Event-ID") == (
        None if loss == b"\n" else "5-6"
    )


def test_over_server_sent_events_the_broker_reports_that_it_waits() -> None:
    subject = follower(from_="now")
    subject.receive(subject.decoder("sse")(b"id: k:\n\n"))
    assert subject.streams.take() is None
    assert "from" not in subject.begin_attempt().url


def test_the_204_after_a_possible_last_event_is_asked_for_at_once_but_only_once() -> None:
    subject = follower()
    last = Frame("5-0", "fail", status_if_last="failed")
    accepted(subject, last)
    assert (subject.streams.is_over, subject.streams.sequence.status) == (False, None)
    assert subject.failed(BROKEN) == 0.0
    assert subject.failed(BROKEN) >= 0.5
    accepted(subject, Frame("5-1", "fail", status_if_last="failed"))
    assert subject.failed(ApiError(503, "shutting-down", "")) >= 0.5
    assert subject.failed(BROKEN) == 0.0
    subject.streams.complete()
    assert (subject.streams.is_over, subject.streams.sequence.status) == (True, "failed")


@pytest.mark.parametrize(
    ("following", "status"),
    [
        (Frame("5-0", None), "abandoned"),
        (Frame("5-1", None), None),
        (Frame("5-1", "token"), None),
        (missed("5-4"), None),
    ],
)
def test_what_follows_a_possible_last_event_makes_it_an_ordinary_one(
    following: Frame, status: str | None
) -> None:
    subject = follower(events=["token"])
    subject.receive([Frame("5-0", "abandon", status_if_last="abandoned"), following])
    while subject.streams.has_frames:
        subject.streams.take()
    subject.streams.complete()
    assert subject.streams.sequence.status == status
