"""The positions of a subscription to several streams. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from positions import ALL, URL, connect, frame, gone, many, take

from tinistreamer import Gap, Unreachable
from tinistreamer._frames import POSITIONS_SENT, Frame
from tinistreamer._many_positions import ManyStreams
from tinistreamer._request import SubscribeRequest
from tinistreamer._status import FinalStatus


def test_each_stream_has_its_own_sequence() -> None:
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


def test_a_connection_asks_for_the_given_keys_and_not_for_those_of_the_url() -> None:
    assert connect(many("a b", "ü", "a b")) == ([("key", "a b"), ("key", "ü")], None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_the_next_connection_continues_each_stream_at_its_position(
    sent: list[tuple[str, bool]],
) -> None:
    streams = many("a", "b", "c")
    connect(streams)
    had: dict[str, int] = {}
    for key, is_taken in sent:
        streams.receive([frame(key, had.get(key, -1) + 1)])
        if not is_taken:
            # The next connection delivers the event again.
            break
        assert streams.take() is not None
        had[key] = had.get(key, -1) + 1
    _, cursor = connect(streams)
    assert sorted((cursor or "").split(",")) == (
        sorted(f"{key}:5-{number}" for key, number in had.items()) or [""]
    )
    assert not streams.has_frames


def test_over_server_sent_events_the_next_connection_continues_at_the_cursor() -> None:
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


def test_a_reported_loss_over_server_sent_events_keeps_the_cursor() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, streams.resolve_sse(Frame("b:5-0,~AQ", "start")))
    loss = json.dumps({"after": None, "first": "5-4", "missed": 4})
    (event,) = take(streams, streams.resolve_sse(Frame("a:", "missedevents", loss)))
    assert (event.key, event.id) == ("a", None)
    assert event.missed is not None
    assert connect(streams)[1] == "b:5-0,~AQ"
    assert take(streams, streams.resolve_sse(Frame("a:5-4,~AR", "token")))[0].key == "a"


@pytest.mark.parametrize("event_id", [None, "5-1", "~AQ", ""])
def test_a_frame_without_its_stream_breaks_the_connection(event_id: str | None) -> None:
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


def test_the_cursor_of_a_poll_counts_after_its_events_were_yielded() -> None:
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


def test_finished_streams_are_not_asked_for_again_and_stay_in_the_cursor() -> None:
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


def test_over_server_sent_events_finished_streams_stay_in_the_cursor() -> None:
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


def test_a_stream_that_is_gone_is_reported_and_the_others_go_on() -> None:
    streams = many("a", "b", after={"a": "5-3"})
    connect(streams)
    (event,) = take(streams, gone("a"))
    assert event.missed is not None
    assert (event.key, event.missed.first, event.missed.missed) == ("a", None, None)
    assert not streams.is_over
    # The subscriber does not know that it had ended.
    assert connect(streams) == ([("key", "b")], "a:5-3")
    take(streams, gone("b"))
    assert streams.is_over
    assert streams.statuses == {"a": "gone", "b": "gone"}


@pytest.mark.parametrize("after", ["b:5-2,a:5-6!", {"b": "5-2"}])
def test_a_subscription_starts_after_a_cursor_or_after_ids(after: str | Mapping[str, str]) -> None:
    streams = many("b", "c", after=after)
    assert connect(streams) == ([("key", "b"), ("key", "c")], "b:5-2")
    assert len(take(streams, frame("b", 3), frame("c", 0))) == 2
    with pytest.raises(Gap):
        take(streams, frame("c", 2))


def test_streams_that_a_cursor_marks_as_finished_are_not_asked_for() -> None:
    streams = many("a", "b", after="a:5-6!,b:5-2")
    assert connect(streams) == ([("key", "b")], "a:5-6!,b:5-2")
    take(streams, Frame("5-3", "end"))
    assert (streams.is_over, streams.statuses) == (True, {"a": None, "b": "ended"})


def test_opaque_items_are_sent_until_the_broker_sends_a_new_cursor() -> None:
    streams = many("a", "b", after="~AQ")
    assert connect(streams)[1] == "~AQ"
    # Only the broker knows which number comes next.
    take(streams, frame("a", 7))
    assert connect(streams)[1] == "a:5-7,~AQ"
    with pytest.raises(Gap):
        take(streams, frame("a", 9))


def test_nothing_after_the_position_finishes_all_streams() -> None:
    streams = many("a", "b", after="~AQ")
    connect(streams)
    streams.complete()
    assert (streams.is_over, streams.statuses) == (True, {"a": None, "b": None})


def test_the_cursor_names_streams_without_another_start_position() -> None:
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


def test_a_stream_that_is_waited_for_starts_with_its_first_event_in_spite_of_from() -> None:
    streams = many("a", "b", request=SubscribeRequest(URL, from_="now", wait=True))
    assert ("from", "now") in connect(streams)[0]
    take(streams, Frame("5-3", None, key="a"))
    assert ("from", "now") in connect(streams)[0]
    take(streams, POSITIONS_SENT)
    added = streams.add("c", after=None, from_=None, wait=None)
    # No connection has asked for the stream yet, so that the positions do not include it.
    take(streams, POSITIONS_SENT)
    assert connect(streams) == (
        [("key", "a"), ("key", "b"), ("key", "c"), ("from", "now"), ("wait", "true")],
        "b:,a:5-3",
    )
    assert added.is_settled


def test_a_subscription_needs_a_list_of_streams() -> None:
    with pytest.raises(ValueError, match="no stream"):
        many()
    with pytest.raises(TypeError):
        ManyStreams(ALL, "abc", None)


def possible(event_id: str, name: str, status: FinalStatus) -> Frame:
    return Frame(event_id, name, status_if_last=status)


def test_over_server_sent_events_a_204_confirms_the_possible_last_events() -> None:
    streams = many("a", "b", "c")
    connect(streams)
    take(streams, streams.resolve_sse(possible("a:5-0", "fail", "failed")))
    take(streams, streams.resolve_sse(possible("b:5-0,~AQ", "abandon", "abandoned")))
    assert (streams.may_be_over, streams.is_over) == (False, False)
    take(streams, streams.resolve_sse(Frame("c:5-0!,~AR", "end")))
    assert (streams.may_be_over, streams.is_over) == (True, False)
    assert streams.statuses == {"a": "active", "b": "active", "c": "ended"}
    assert [key for _, key in connect(streams)[0]] == ["a", "b"]
    streams.complete()
    assert streams.statuses == {"a": "failed", "b": "abandoned", "c": "ended"}


def test_a_cursor_that_marks_the_last_event_confirms_it_at_once() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, streams.resolve_sse(possible("a:5-0!,~AQ", "fail", "failed")))
    assert streams.statuses == {"a": "failed", "b": "active"}
    assert connect(streams)[0] == [("key", "b")]


def test_an_ordinary_event_called_fail_ends_no_stream() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, streams.resolve_sse(possible("a:5-0", "fail", "failed")))
    take(streams, streams.resolve_sse(Frame("a:5-1", "token")))
    streams.complete()
    assert streams.statuses == {"a": None, "b": None}
