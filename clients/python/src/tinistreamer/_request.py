"""The URL and the parameters of a subscription."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

Names = str | Iterable[str]
"""One name, or several."""

URL_MISSING = (
    "The URL is missing: pass url, the sse_url or ws_url that the broker answered, or pass access"
)

HttpTransport = Literal["sse", "ndjson"]
SubscribeTransport = Literal[HttpTransport, "ws", "poll"]

MEDIA_TYPES: dict[SubscribeTransport, str] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "poll": "application/json",
}

_TRANSPORTS: dict[str, SubscribeTransport] = {
    "sse": "sse",
    "ws": "ws",
    "ndjson": "ndjson",
    "poll": "poll",
}


def transport_of(url: str) -> SubscribeTransport:
    """Returns the transport that the URL's path names.

    Raises `TypeError` without a URL, and `ValueError` for a URL that is not for subscribers.
    """
    if not url:
        raise TypeError(URL_MISSING)
    parts = urlsplit(url)
    transport = _TRANSPORTS.get(parts.path.rpartition("/")[2])
    schemes = {"ws", "wss"} if transport == "ws" else {"http", "https"}
    if transport is None or parts.scheme not in schemes:
        raise ValueError(
            "The URL is none of the broker's for clients: …/sse, …/ws, …/ndjson or …/poll"
        )
    return transport


def signal_url(url: str, key: str | None = None) -> str:
    """Returns the URL to which a subscription sends signals, for one stream.

    Without a key it is the one that the URL of the subscription names. Raises `ValueError` when
    there is no such key.
    """
    parts = urlsplit(url)
    if key is None:
        keys = [value for name, value in parse_qsl(parts.query) if name == "key"]
        if len(keys) != 1:
            raise ValueError("The URL of the subscription does not name one stream")
        (key,) = keys
    return urlunsplit(
        parts._replace(
            scheme=parts.scheme.replace("ws", "http", 1),
            path=f"{parts.path.rpartition('/')[0]}/signal",
            query=urlencode({"key": key}, quote_via=quote),
            fragment="",
        )
    )


def with_query(url: str, pairs: Iterable[tuple[str, str]], *, without: str | None = None) -> str:
    """Adds parameters to the URL, and removes those with the name `without`."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [pair for pair in query if pair[0] != without]
    return urlunsplit(parts._replace(query=urlencode([*kept, *pairs], quote_via=quote)))


@dataclass(frozen=True)
class SubscribeRequest:
    """What a subscription asks the broker for: the URL and the caller's options."""

    url: str
    events: tuple[str, ...] | None = None
    from_: str | None = None
    wait: bool = False
    client_name: str | None = None
    tags: tuple[str, ...] = ()
    rollup: tuple[str, ...] = ()
    rollup_path: tuple[str, ...] = ()
    rollup_ms: int | None = None

    @classmethod
    def of(
        cls,
        url: str,
        *,
        events: Iterable[str] | None = None,
        from_: str | None = None,
        wait: bool = False,
        client_name: str | None = None,
        tags: Iterable[str] | None = None,
        rollup: Names | None = None,
        rollup_path: Names | None = None,
        rollup_ms: int | None = None,
    ) -> SubscribeRequest:
        """Makes a request of a caller's options.

        Raises `ValueError` for a list that the broker would split in another way.
        """
        names = None if events is None else _names("events", events)
        return cls(
            url,
            names,
            from_,
            wait,
            client_name,
            _names("tags", tags or ()),
            _one_or_more(rollup),
            _one_or_more(rollup_path),
            rollup_ms,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether the broker leaves events out."""
        return self.events is not None

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query parameters that are the same for each connection."""
        values = {
            "events": None if self.events is None else ",".join(self.events),
            "client_name": self.client_name,
            "tags": ",".join(self.tags) or None,
            "rollup_ms": None if self.rollup_ms is None else str(self.rollup_ms),
        }
        return [
            *((name, value) for name, value in values.items() if value is not None),
            *(("rollup", name) for name in self.rollup),
            *(("rollup_path", path) for path in self.rollup_path),
        ]


def start_parameters(from_: str | None, *, wait: bool) -> list[tuple[str, str]]:
    """Returns the query parameters for the start position, and for streams to wait for."""
    start = [("from", from_)] if from_ is not None else []
    return [*start, *([("wait", "true")] if wait else [])]


def may_start_anywhere(from_: str | None) -> bool:
    """Whether the first event of a subscription need not be the first of its stream."""
    return from_ not in {None, "start"}


def _one_or_more(names: Names | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _names(option: str, names: Iterable[str]) -> tuple[str, ...]:
    listed = () if isinstance(names, str) else tuple(names)
    if isinstance(names, str) or any("," in name for name in listed):
        raise ValueError(f"{option} is a list of names without commas")
    return listed
