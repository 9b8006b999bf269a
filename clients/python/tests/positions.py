"""A subscription to several streams without I/O, and the frames that it receives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from tinistreamer import KeyedEvent
from tinistreamer._frames import Frame
from tinistreamer._many_positions import ManyStreams
from tinistreamer._request import SubscribeRequest

URL = "http://127.0.0.1/api/client/sse?key=other"
ALL = SubscribeRequest(URL)


def many(
    *keys: str, after: str | Mapping[str, str] | None = None, request: SubscribeRequest = ALL
) -> ManyStreams:
    return ManyStreams(request, keys, after)


def connect(streams: ManyStreams) -> tuple[list[tuple[str, str]], str | None]:
    """Returns what a connection asks for. The broker accepts it."""
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
