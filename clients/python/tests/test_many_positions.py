"""What a subscription to several streams decides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinistreamer import ApiError, Gap, KeyedEvent, Refused, Unreachable
from tinistreamer._follower import Follower
from tinistreamer._frames import POSITIONS_SENT, CommandReply, Frame
from tinistreamer._many_positions import ManyStreams
from tinistreamer._request import SubscribeRequest

URL = "http://127.0.0.1/api/client/sse?key=other"
ALL = SubscribeRequest(URL)


def many(
    *keys: str, after: str | Mapping[str, str] | None = None, request: SubscribeRequest = ALL
) -> ManyStreams:
    return ManyStreams(request, keys, after)


def connect(streams: ManyStreams) -> tuple[list[tuple[str, str]], str | None]:
    """What a connection asks for, which the broker grants."""
    resumption = streams.begin_connection()
    streams.connected()
    return parse_qsl(urlsplit(resumption.url).query), resumption.cursor


def take(streams: ManyStreams, *frames: Frame) -> list[KeyedEvent]:
    streams.receive(frames)
    return [event for _ in frames if (event := streams.take()) is not None]


def frame(key: str, number: int, name: str = "token", cursor: str | None = None) -> Frame:
    return Frame(f"5-{number}", name, "", key, cursor)


def gone(key: str) -> Frame:
    return Frame(
        None, "missedevents", json.dumps({"after": None, "first": None, "missed": None}), key
    )


def test_each_stream_has_its_own_order() -> None:
    streams = many("a", "b")
    connect(streams)
    events = take(streams, frame("a", 0), frame("b", 0), frame("b", 1), frame("a", 1))
    assert [(event.key, event.id) for event in events] == [
        ("a", "5-0"),
        ("b", "5-0"),
        ("b", "5-1"),
        ("a", "5-1"),
    ]
    with pytest.raises(Gap):
        take(streams, frame("a", 3))
    with pytest.raises(Gap):
        take(streams, frame("b", 1))


def test_it_asks_for_its_keys_and_not_for_those_of_the_url() -> None:
    assert connect(many("a b", "ü", "a b")) == ([("key", "a b"), ("key", "ü")], None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_it_goes_on_where_each_stream_is(sent: list[tuple[str, bool]]) -> None:
    """Whatever of it was handed out."""
    streams = many("a", "b", "c")
    connect(streams)
    had: dict[str, int] = {}
    for key, is_taken in sent:
        streams.receive([frame(key, had.get(key, -1) + 1)])
        if not is_taken:
            # A new connection, which sends again what was not handed out.
            break
        assert streams.take() is not None
        had[key] = had.get(key, -1) + 1
    _, cursor = connect(streams)
    assert sorted((cursor or "").split(",")) == (
        sorted(f"{key}:5-{number}" for key, number in had.items()) or [""]
    )
    assert not streams.has_frames


def test_over_server_sent_events_it_goes_on_at_the_brokers_cursor() -> None:
    streams = many("a", "b", "c", request=SubscribeRequest(URL, events=("token",)))
    connect(streams)
    for event_id in ("a:5-0", "b:5-0,~AQ", "b:5-1,~AR"):
        sent = streams.resolve_sse(Frame(event_id, "token"))
        assert [(event.key, event.id) for event in take(streams, sent)] == [
            (event_id[0], event_id[2:5])
        ]
    assert connect(streams)[1] == "b:5-1,~AR"
    assert take(streams, streams.resolve_sse(Frame("c:9-7,~AS", None))) == []
    assert connect(streams)[1] == "c:9-7,~AS"


def test_word_of_missed_events_over_server_sent_events_leaves_the_cursor() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, streams.resolve_sse(Frame("b:5-0,~AQ", "start")))
    told = json.dumps({"after": None, "first": "5-4", "missed": 4})
    (event,) = take(streams, streams.resolve_sse(Frame("a:", "missedevents", told)))
    assert (event.key, event.id) == ("a", None)
    assert event.missed is not None
    assert connect(streams)[1] == "b:5-0,~AQ"
    assert take(streams, streams.resolve_sse(Frame("a:5-4,~AR", "token")))[0].key == "a"


@pytest.mark.parametrize("event_id", [None, "5-1", "~AQ", ""])
def test_a_frame_that_does_not_say_its_stream_breaks_the_connection(event_id: str | None) -> None:
    streams = many("a", "b")
    connect(streams)
    with pytest.raises(Unreachable):
        streams.resolve_sse(Frame(event_id, "token"))
    with pytest.raises(Unreachable):
        streams.receive([Frame("5-0", "token")])


def test_over_a_connection_for_one_stream_ids_are_its_own() -> None:
    streams = many("a")
    connect(streams)
    (event,) = take(streams, streams.resolve_sse(Frame("5-0", "start")))
    assert (event.key, event.id) == ("a", "5-0")
    assert connect(streams)[1] == "a:5-0"
    assert take(streams, streams.position_frame("5-0")) == []
    assert streams.cursor == "a:5-0"


def test_the_cursor_of_a_poll_counts_when_its_events_were_handed_out() -> None:
    streams = many("a", "b")
    connect(streams)
    streams.receive([frame("a", 0), frame("b", 0), streams.position_frame("~AQ")])
    assert streams.take() is not None
    assert streams.cursor == "a:5-0"
    assert streams.take() is not None
    assert streams.take() is None
    assert streams.cursor == "~AQ"
    take(streams, frame("b", 1))
    assert streams.cursor == "b:5-1,~AQ"


def test_what_has_ended_is_not_asked_for_again_and_stays_in_the_cursor() -> None:
    streams = many("a", "b", "c")
    connect(streams)
    take(
        streams,
        frame("a", 0),
        frame("a", 1, "end"),
        frame("b", 0),
        frame("b", 1, "cancel"),
        frame("c", 0),
    )
    assert streams.statuses == {"a": "ended", "b": "cancelled", "c": "active"}
    assert connect(streams) == ([("key", "c")], "a:5-1!,b:5-1!,c:5-0")
    take(streams, Frame("5-1", "end"))
    assert (streams.is_over, streams.cursor) == (True, "a:5-1!,b:5-1!,c:5-1!")


def test_over_server_sent_events_what_ended_before_the_connection_stays_in_the_cursor() -> None:
    streams = many("a", "b", "c")
    connect(streams)
    take(
        streams,
        streams.resolve_sse(Frame("a:5-0,~AQ", "start")),
        streams.resolve_sse(Frame("a:5-1!,~AQ", "end")),
    )
    assert connect(streams) == ([("key", "b"), ("key", "c")], "a:5-1!,~AQ")
    take(streams, streams.resolve_sse(Frame("b:5-0,~AR", "start")))
    assert streams.cursor == "a:5-1!,b:5-0,~AR"


def test_an_event_after_the_end_is_a_gap() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, frame("a", 0), frame("a", 1, "end"))
    with pytest.raises(Gap):
        take(streams, frame("a", 2))


def test_a_stream_that_has_gone_is_told_and_the_others_go_on() -> None:
    streams = many("a", "b", after={"a": "5-3"})
    connect(streams)
    (event,) = take(streams, gone("a"))
    assert event.missed is not None
    assert (event.key, event.missed.first, event.missed.missed) == ("a", None, None)
    assert not streams.is_over
    # It had not ended, as far as the client knows.
    assert connect(streams) == ([("key", "b")], "a:5-3")
    take(streams, gone("b"))
    assert streams.is_over
    assert streams.statuses == {"a": "gone", "b": "gone"}


@pytest.mark.parametrize("after", ["b:5-2,a:5-6!", {"b": "5-2"}])
def test_it_begins_after_a_cursor_or_after_ids(after: str | Mapping[str, str]) -> None:
    streams = many("b", "c", after=after)
    assert connect(streams) == ([("key", "b"), ("key", "c")], "b:5-2")
    assert len(take(streams, frame("b", 3), frame("c", 0))) == 2
    with pytest.raises(Gap):
        take(streams, frame("c", 2))


def test_what_a_cursor_calls_finished_is_not_asked_for() -> None:
    streams = many("a", "b", after="a:5-6!,b:5-2")
    assert connect(streams) == ([("key", "b")], "a:5-6!,b:5-2")
    take(streams, Frame("5-3", "end"))
    assert (streams.is_over, streams.statuses) == (True, {"a": None, "b": "ended"})


def test_what_only_the_broker_reads_is_sent_until_it_tells_anew() -> None:
    streams = many("a", "b", after="~AQ")
    assert connect(streams)[1] == "~AQ"
    # Nobody but the broker knows which number comes next.
    take(streams, frame("a", 7))
    assert connect(streams)[1] == "a:5-7,~AQ"
    with pytest.raises(Gap):
        take(streams, frame("a", 9))


def test_nothing_after_the_position_is_the_end_of_all() -> None:
    streams = many("a", "b", after="~AQ")
    connect(streams)
    streams.complete()
    assert (streams.is_over, streams.statuses) == (True, {"a": None, "b": None})


def test_streams_that_begin_elsewhere_are_not_named_and_the_others_are() -> None:
    streams = many("a", "b", request=SubscribeRequest(URL, from_="-2", wait=True))
    assert connect(streams) == (
        [("key", "a"), ("key", "b"), ("from", "-2"), ("wait", "true")],
        None,
    )
    take(streams, frame("a", 7), Frame("5-3", None, key="b"))
    streams.add("c", after=None, from_="start", wait=None)
    assert connect(streams) == (
        [("key", "a"), ("key", "b"), ("key", "c"), ("wait", "true")],
        "a:5-7,b:5-3",
    )
    streams.add("d", after=None, from_="now", wait=False)
    pairs, cursor = connect(streams)
    assert (cursor, ("from", "now") in pairs) == ("c:,a:5-7,b:5-3", True)


def test_a_stream_that_is_waited_for_begins_with_its_first_event_whatever_from_says() -> None:
    streams = many("a", "b", request=SubscribeRequest(URL, from_="now", wait=True))
    assert ("from", "now") in connect(streams)[0]
    take(streams, Frame("5-3", None, key="a"))
    assert ("from", "now") in connect(streams)[0]
    take(streams, POSITIONS_SENT)
    added = streams.add("c", after=None, from_=None, wait=None)
    # What was told before it was asked for says nothing of it.
    take(streams, POSITIONS_SENT)
    assert connect(streams) == (
        [("key", "a"), ("key", "b"), ("key", "c"), ("from", "now"), ("wait", "true")],
        "b:,a:5-3",
    )
    assert added.is_settled


def test_an_addition_is_settled_by_the_connection_that_asks_for_it() -> None:
    streams = many("a")
    connect(streams)
    change = streams.add("b", after="5-2", from_=None, wait=False)
    # The connection that was being made when it was added does not ask for it.
    streams.connected()
    assert not change.is_settled
    assert connect(streams) == ([("key", "a"), ("key", "b")], "b:5-2")
    assert (change.is_settled, change.error) == (True, None)
    assert take(streams, frame("b", 3))[0].key == "b"


def test_what_the_broker_does_not_let_in_is_left_out_and_the_rest_goes_on() -> None:
    follower = Follower(many("a"), silence=45, give_up_after=300, asks_for_token=False)
    connect(follower.streams)
    change = follower.streams.add("b", after=None, from_=None, wait=False)
    follower.begin_attempt()
    assert follower.failed(ApiError(403, "forbidden", "No.")) == 0.0
    assert isinstance(change.error, Refused)
    assert (change.is_settled, change.error.code) == (True, "forbidden")
    assert connect(follower.streams)[0] == [("key", "a")]
    with pytest.raises(ApiError):
        follower.failed(ApiError(403, "forbidden", "No."))


def test_a_stream_that_is_there_is_not_added_and_one_that_is_not_is_not_dropped() -> None:
    streams = many("a")
    with pytest.raises(Refused) as raised:
        streams.add("a", after=None, from_=None, wait=False)
    assert raised.value.code == "already-subscribed"
    with pytest.raises(Refused) as raised:
        streams.drop("b")
    assert raised.value.code == "not-subscribed"


def test_of_a_stream_that_was_dropped_nothing_is_handed_out() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, frame("b", 0))
    streams.receive([frame("b", 1), frame("a", 0)])
    change = streams.drop("b")
    streams.receive([frame("b", 2)])
    assert (change.is_settled, change.position) == (True, "5-0")
    assert [event.key for event in (streams.take(), streams.take()) if event is not None] == ["a"]
    assert connect(streams) == ([("key", "a")], "a:5-0")
    assert streams.statuses == {"a": "active"}


def test_a_stream_that_was_dropped_begins_anew_when_it_is_added_again() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, frame("a", 0, cursor="a:5-0,~AQ"), frame("b", 0, cursor="b:5-0,~AQ"))
    streams.drop("b")
    streams.add("b", after=None, from_=None, wait=False)
    assert connect(streams) == ([("key", "a"), ("key", "b")], "a:5-0")
    assert len(take(streams, frame("b", 0))) == 1


def test_with_no_stream_left_it_waits_and_is_not_over() -> None:
    streams = many("a")
    streams.drop("a")
    assert (streams.is_idle, streams.is_over) == (True, False)
    streams.add("b", after=None, from_=None, wait=False)
    assert not streams.is_idle
    assert connect(streams)[0] == [("key", "b")]


def test_questions_are_answered_in_order() -> None:
    streams = many("a")
    connect(streams)
    streams.accept_commands()
    first, second = (
        streams.add("b", after=None, from_="now", wait=True),
        streams.add("c", after="5-2", from_=None, wait=False),
    )
    third = streams.drop("a")
    assert [json.loads(change.command) for change in (first, second, third)] == [
        {"op": "subscribe", "key": "b", "from": "now", "wait": True},
        {"op": "subscribe", "key": "c", "after": "5-2"},
        {"op": "unsubscribe", "key": "a"},
    ]
    with pytest.raises(Refused):
        streams.add("b", after=None, from_=None, wait=False)
    streams.replied(CommandReply("subscribed", "5-6", "", ""))
    streams.replied(CommandReply("error", None, "forbidden", "No."))
    assert (first.error, first.is_settled, second.is_settled, third.is_settled) == (
        None,
        True,
        True,
        False,
    )
    assert isinstance(second.error, Refused)
    streams.replied(CommandReply("unsubscribed", None, "", ""))
    assert third.is_settled
    assert streams.statuses == {"b": "active"}
    with pytest.raises(Gap):
        take(streams, frame("b", 8))


def test_a_question_that_is_lost_with_the_connection_is_for_the_next() -> None:
    streams = many("a", "b")
    connect(streams)
    streams.accept_commands()
    added, dropped = streams.add("c", after=None, from_=None, wait=False), streams.drop("a")
    streams.disconnected()
    assert (added.is_settled, dropped.is_settled) == (False, True)
    assert connect(streams)[0] == [("key", "b"), ("key", "c")]
    assert added.is_settled


def test_that_the_broker_has_let_a_stream_go_already_is_no_error() -> None:
    streams = many("a", "b")
    connect(streams)
    streams.accept_commands()
    change = streams.drop("a")
    streams.replied(CommandReply("error", None, "not-subscribed", "No."))
    assert (change.is_settled, change.error, list(streams.statuses)) == (True, None, ["b"])


def test_an_answer_to_no_question_breaks_the_connection() -> None:
    with pytest.raises(Unreachable):
        many("a").replied(CommandReply("subscribed", None, "", ""))


def test_a_stream_that_has_ended_may_be_added_again() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, frame("a", 0), frame("a", 1, "end"))
    streams.add("a", after=None, from_=None, wait=False)
    assert connect(streams) == ([("key", "a"), ("key", "b")], None)
    assert len(take(streams, frame("a", 0))) == 1
    assert streams.statuses == {"a": "active", "b": "active"}


def test_there_must_be_a_list_of_streams() -> None:
    with pytest.raises(ValueError, match="no stream"):
        many()
    with pytest.raises(TypeError):
        ManyStreams(ALL, "abc", None)
