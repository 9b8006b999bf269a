"""Streams that are added to a subscription and dropped from it. No I/O."""

from __future__ import annotations

import json

import pytest
from positions import connect, frame, many, take

from tinistreamer import ApiError, Gap, Refused, Unreachable
from tinistreamer._follower import Follower
from tinistreamer._frames import CommandReply


def test_an_addition_is_settled_by_the_connection_that_asks_for_it() -> None:
    streams = many("a")
    connect(streams)
    change = streams.add("b", after="5-2", from_=None, wait=False)
    # The connection in progress does not ask for it.
    streams.connected()
    assert not change.is_settled
    assert connect(streams) == ([("key", "a"), ("key", "b")], "b:5-2")
    assert (change.is_settled, change.error) == (True, None)
    assert take(streams, frame("b", 3))[0].key == "b"


def test_a_refused_addition_is_left_out_and_the_other_streams_go_on() -> None:
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


def test_a_present_stream_cannot_be_added_and_an_absent_one_cannot_be_dropped() -> None:
    streams = many("a")
    with pytest.raises(Refused) as raised:
        streams.add("a", after=None, from_=None, wait=False)
    assert raised.value.code == "already-subscribed"
    with pytest.raises(Refused) as raised:
        streams.drop("b")
    assert raised.value.code == "not-subscribed"


def test_no_event_of_a_dropped_stream_is_yielded() -> None:
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


def test_a_dropped_stream_starts_anew_when_it_is_added_again() -> None:
    streams = many("a", "b")
    connect(streams)
    take(streams, frame("a", 0, cursor="a:5-0,~AQ"), frame("b", 0, cursor="b:5-0,~AQ"))
    streams.drop("b")
    streams.add("b", after=None, from_=None, wait=False)
    assert connect(streams) == ([("key", "a"), ("key", "b")], "a:5-0")
    assert len(take(streams, frame("b", 0))) == 1


def test_without_any_stream_a_subscription_waits_and_is_not_over() -> None:
    streams = many("a")
    streams.drop("a")
    assert (streams.is_idle, streams.is_over) == (True, False)
    streams.add("b", after=None, from_=None, wait=False)
    assert not streams.is_idle
    assert connect(streams)[0] == [("key", "b")]


def test_replies_belong_to_commands_in_their_order() -> None:
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


def test_a_command_that_is_lost_with_the_connection_moves_to_the_next() -> None:
    streams = many("a", "b")
    connect(streams)
    streams.accept_commands()
    added, dropped = streams.add("c", after=None, from_=None, wait=False), streams.drop("a")
    streams.disconnected()
    assert (added.is_settled, dropped.is_settled) == (False, True)
    assert connect(streams)[0] == [("key", "b"), ("key", "c")]
    assert added.is_settled


def test_dropping_a_stream_that_the_broker_has_removed_is_not_an_error() -> None:
    streams = many("a", "b")
    connect(streams)
    streams.accept_commands()
    change = streams.drop("a")
    streams.replied(CommandReply("error", None, "not-subscribed", "No."))
    assert (change.is_settled, change.error, list(streams.statuses)) == (True, None, ["b"])


def test_a_reply_without_a_command_breaks_the_connection() -> None:
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
