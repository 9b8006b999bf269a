"""What is asked of the broker: the URL, the transport, and what of the streams is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

StreamTransport = Literal["sse", "ndjson"]
Transport = Literal[StreamTransport, "ws", "poll"]

MEDIA_TYPES: dict[Transport, str] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "poll": "application/json",
}

_TRANSPORTS: dict[str, Transport] = {"sse": "sse", "ws": "ws", "ndjson": "ndjson", "poll": "poll"}


def transport_of(url: str) -> Transport:
    """The transport, by the URL's path. Raises `ValueError` if it is none of the broker's URLs for clients."""
    if not url:
        raise TypeError(
            "The URL is missing: pass url, the sse_url or ws_url that the broker answered"
        )
    parts = urlsplit(url)
    transport = _TRANSPORTS.get(parts.path.rpartition("/")[2])
    if transport is None or parts.scheme not in (
        {"ws", "wss"} if transport == "ws" else {"http", "https"}
    ):
        raise ValueError(
            "The URL is none of the broker's for clients: …/sse, …/ws, …/ndjson or …/poll"
        )
    return transport


def with_query(url: str, pairs: Iterable[tuple[str, str]], *, without: str | None = None) -> str:
    """The URL with further parameters, and without those of one name."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != without]
    return urlunsplit(parts._replace(query=urlencode([*kept, *pairs], quote_via=quote)))


@dataclass(frozen=True)
class SubscribeRequest:
    """What a subscription wants of its streams, and what it calls itself."""

    events: tuple[str, ...] | None
    from_: str | None
    wait: bool
    client_name: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(
        cls,
        events: Iterable[str] | None,
        from_: str | None,
        wait: bool,
        client_name: str | None,
        tags: Iterable[str] | None,
    ) -> SubscribeRequest:
        """What a caller gave. Raises `ValueError` where a list would be read as another."""
        return cls(
            None if events is None else _names("events", events),
            from_,
            wait,
            client_name,
            _names("tags", tags or ()),
        )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters that are the same in each request."""
        pairs = {
            "events": None if self.events is None else ",".join(self.events),
            "client_name": self.client_name,
        }
        pairs["tags"] = ",".join(self.tags) or None
        return [(name, value) for name, value in pairs.items() if value is not None]


def begin_pairs(from_: str | None, *, wait: bool) -> list[tuple[str, str]]:
    """The parameters that say where streams begin, and whether they are waited for."""
    return [
        *([("from", from_)] if from_ is not None else []),
        *([("wait", "true")] if wait else []),
    ]


def begins_anywhere(from_: str | None) -> bool:
    """Whether the first event of a stream need not be its first."""
    return from_ not in {None, "start"}


def _names(option: str, names: Iterable[str]) -> tuple[str, ...]:
    listed = () if isinstance(names, str) else tuple(names)
    if isinstance(names, str) or any("," in name for name in listed):
        raise ValueError(f"{option} is a list of names without commas")
    return listed
