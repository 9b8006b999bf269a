"""Streams of events whose data is a number, and what subscriptions to them must yield."""

from __future__ import annotations

from collections.abc import Sequence

from tinistreamer import Client, Event, KeyedEvent, NewEvent


def create(client: Client, *keys: str) -> None:
    for key in keys:
        client.create_stream(key, max_events=10_000)


def filled(client: Client, key: str, count: int, *, ended: bool = True) -> str:
    """Creates a stream of events whose data is a number, and returns its token."""
    token = client.create_stream(key, max_events=10_000).token
    add(client, key, 0, count)
    if ended:
        client.end_stream(key)
    return token


def add(client: Client, key: str, first: int, count: int, name: str = "token") -> None:
    client.add_events(
        key, [NewEvent(event=name, data=str(number)) for number in range(first, first + count)]
    )


def words(events: Sequence[Event]) -> list[str]:
    return [event.data or event.event for event in events]


def of(events: list[KeyedEvent], key: str) -> list[str]:
    return words([event for event in events if event.key == key])


def expected(count: int, last: str = "end") -> list[str]:
    return ["start", *map(str, range(count)), last]


def keys_of(key: str, count: int) -> list[str]:
    # Characters with a meaning in a URL or in a cursor must be escaped.
    return [f"{key} :,~!%2{number}" for number in range(count)]
