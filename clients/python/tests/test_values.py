"""Values that a writer sends as JSON: plain ones, pydantic models and dataclasses."""

from __future__ import annotations

import datetime
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from blocking import Backend
from conftest import Server
from pydantic import BaseModel, RootModel

from tinistreamer import Client, InvalidEvent, NewEvent
from tinistreamer._json import to_json


class Usage(BaseModel):
    tokens: int
    when: datetime.date = datetime.date(2026, 1, 2)
    text: str = "\ud83d\ude00"


@dataclass
class Point:
    x: int
    label: str | None = None


@dataclass(frozen=True)
class Shape:
    points: list[Point]
    usage: Usage
    tags: tuple[str, ...] = ("a",)
    more: dict[str, Point] = field(default_factory=dict[str, Point])


USAGE = '{"tokens":1,"when":"2026-01-02","text":"😀"}'
POINT = '{"x":1,"label":null}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Usage(tokens=1), USAGE),
        ([Usage(tokens=1), {"a": Usage(tokens=1)}], f'[{USAGE},{{"a":{USAGE}}}]'),
        (RootModel[list[Usage]]([Usage(tokens=1)]), f"[{USAGE}]"),
        (Point(1), POINT),
        ([Point(1), (Point(1),)], f"[{POINT},[{POINT}]]"),
        (
            Shape([Point(1)], Usage(tokens=1), more={"b": Point(1)}),
            f'{{"points":[{POINT}],"usage":{USAGE},"tags":["a"],"more":{{"b":{POINT}}}}}',
        ),
        ({"a": [1, None, True, "é\ud83d"]}, '{"a":[1,null,true,"é\ufffd"]}'),
    ],
)
def test_models_and_dataclasses_become_json_wherever_they_are(
    backend: Backend, server: Server, client: Client, key: str, value: Any, text: str
) -> None:
    assert to_json(value) == text
    client.create_stream(key)
    with backend.publish(server.url, server.api_key, key) as writer:
        writer.write("value", value)
    assert client.stream_events(key)[1].data == text


def test_signals_and_management_take_them_too(client: Client, key: str) -> None:
    client.create_stream(key)
    client.send_signal(key, "steer", data=Point(1))
    client.add_events(key, [NewEvent(event="value", data=Usage(tokens=1))])
    client.end_stream(key, data=[Point(1)])
    assert client.read_signals(key).signals[0].data == {"x": 1, "label": None}
    assert [event.data for event in client.stream_events(key)][1:] == [USAGE, f"[{POINT}]"]


class Broken(BaseModel):
    value: float


@pytest.mark.parametrize(
    "value",
    [{1, 2}, object(), Usage, Point, [Point], Broken(value=float("nan")), float("inf"), b"x"],
)
def test_what_json_cannot_hold_is_refused_and_the_writer_goes_on(
    backend: Backend, server: Server, client: Client, key: str, value: Any
) -> None:
    client.create_stream(key)
    with backend.publish(server.url, server.api_key, key) as writer:
        with pytest.raises(InvalidEvent):
            writer.write("value", value)
        writer.write("value", 1)
    assert [event.data for event in client.stream_events(key)][1:] == ["1", None]


def test_the_package_does_not_import_pydantic() -> None:
    program = "import sys, tinistreamer; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"
