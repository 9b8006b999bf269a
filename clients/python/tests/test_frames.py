"""Decoding of JSON: WebSocket messages, NDJSON and answers to long polls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinistreamer import Unreachable
from tinistreamer._frames import (
    POSITIONS_SENT,
    CommandReply,
    Frame,
    NdjsonDecoder,
    PollResponse,
    parse_message,
    parse_poll,
)
from tinistreamer._status import FinalStatus

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    "ab\u2028\u2029\u0085\r\n", max_size=6
)
frames = st.lists(st.builds(Frame, st.just("5-1"), texts.filter(bool), texts, texts), max_size=4)


def encoded(frame: Frame) -> dict[str, Any]:
    return {"key": frame.key, "id": frame.id, "event": frame.event, "data": frame.data}


@given(frames, st.data(), st.booleans())
def test_lines_survive_any_cutting_and_empty_ones_are_not_events(
    sent: list[Frame], data: st.DataObject, escaped: bool
) -> None:
    lines = "".join(
        "\n" + json.dumps(encoded(frame), ensure_ascii=escaped) + "\n\n" for frame in sent
    )
    whole = lines.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    decoder = NdjsonDecoder()
    chunks = [
        whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)
    ]
    assert [
        frame for chunk in chunks for frame in decoder.feed(chunk) if frame is not POSITIONS_SENT
    ] == sent


def test_an_incomplete_line_is_not_yielded() -> None:
    assert NdjsonDecoder().feed(b'{"key":"a","id":"5-0","event":"x"}') == []


def test_websocket_messages_are_an_array_first_and_then_objects() -> None:
    assert parse_message('[{"id":"5-0","event":"start"},{"event":"missedevents","data":"{}"}]') == [
        Frame("5-0", "start"),
        Frame(None, "missedevents", "{}"),
    ]
    assert parse_message('{"key":"a","id":"5-1","event":"x","data":"y"}') == [
        Frame("5-1", "x", "y", "a")
    ]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ('"failed"', "failed"),
        ('"ended"', "ended"),
        ("null", None),
        ('"of-later"', None),
        ("3", None),
    ],
)
def test_a_last_event_has_the_status_of_its_stream(sent: str, read: FinalStatus | None) -> None:
    text = f'{{"id":"5-1","event":"x","stream_status":{sent}}}'
    assert parse_message(text) == [Frame("5-1", "x", status=read)]
    assert NdjsonDecoder().feed(f"{text}\n".encode()) == [Frame("5-1", "x", status=read)]


def test_an_object_without_an_event_is_a_position() -> None:
    assert parse_message('{"key":"a","id":"5-1"}') == [Frame("5-1", None, key="a")]
    assert NdjsonDecoder().feed(b'{"key":"a","id":"5-1"}\n') == [Frame("5-1", None, key="a")]


def test_websocket_replies_are_distinguished_from_events() -> None:
    assert parse_message('{"op":"subscribed","key":"b","after":null}') == CommandReply(
        "subscribed", None, "", ""
    )
    assert parse_message('{"op":"unsubscribed","key":"b","after":"5-9"}') == CommandReply(
        "unsubscribed", "5-9", "", ""
    )
    assert parse_message(
        '{"op":"error","key":"b","code":"forbidden","message":"No."}'
    ) == CommandReply("error", None, "forbidden", "No.")


@pytest.mark.parametrize("message", ["", "3", "[3]", "{}", '"x"', "null", '{"key":"a"}'])
def test_a_message_of_another_form_breaks_the_connection(message: str) -> None:
    with pytest.raises(Unreachable):
        parse_message(message)


@pytest.mark.parametrize(
    "line", ["3", "[3]", "{}", '"x"', "null", "x", '[{"id":"5-1","event":"x"}]']
)
def test_a_line_of_another_form_breaks_the_connection(line: str) -> None:
    with pytest.raises(Unreachable):
        NdjsonDecoder().feed(f"{line}\n".encode())


def test_a_poll_response_has_events_a_cursor_and_a_status() -> None:
    answer = '{"events":[{"key":"a","id":"5-0","event":"start"}],"cursor":"a:5-0","status":"%s"}'
    events = [Frame("5-0", "start", key="a")]
    assert parse_poll((answer % "active").encode()) == PollResponse(
        events, "a:5-0", is_complete=False
    )
    assert parse_poll((answer % "ended").encode()) == PollResponse(
        events, "a:5-0", is_complete=True
    )
    assert parse_poll((answer % "cancelled").encode()) == PollResponse(
        events, "a:5-0", is_complete=True
    )
    assert parse_poll(b'{"events":[],"cursor":null,"status":"active"}') == PollResponse(
        [], None, is_complete=False
    )


@pytest.mark.parametrize(
    "body", ["", "3", "{}", '{"events":[3],"cursor":null,"status":"active"}', "<html>"]
)
def test_a_poll_response_of_another_form_breaks_the_connection(body: str) -> None:
    with pytest.raises(Unreachable):
        parse_poll(body.encode())
