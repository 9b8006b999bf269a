"""Client for the tinistreamer broker.

A backend uses `Client` or `AsyncClient`: it manages streams and publishes events. Whoever follows a stream uses `subscribe` or
`asubscribe`.
"""

from ._aclient import AsyncClient
from ._asubscription import AsyncSubscription
from ._awriter import AsyncWriter
from ._client import Client
from ._errors import (
    ApiError,
    Disconnected,
    Gap,
    InvalidEvent,
    PublishError,
    TinistreamerError,
    Unreachable,
    WriterClosed,
)
from ._events import Event, Missed
from ._generated.models import (
    Access,
    Added,
    BrokerInfo,
    ConnectionInfo,
    Finished,
    StoredEvent,
    StreamRow,
    StreamState,
)
from ._generated.models import Event as NewEvent
from ._publish import Ack
from ._subscribe import asubscribe, subscribe
from ._subscription import Subscription
from ._writer import Writer

__all__ = [
    "Access",
    "Ack",
    "Added",
    "ApiError",
    "AsyncClient",
    "AsyncSubscription",
    "AsyncWriter",
    "BrokerInfo",
    "Client",
    "ConnectionInfo",
    "Disconnected",
    "Event",
    "Finished",
    "Gap",
    "InvalidEvent",
    "Missed",
    "NewEvent",
    "PublishError",
    "StoredEvent",
    "StreamRow",
    "StreamState",
    "Subscription",
    "TinistreamerError",
    "Unreachable",
    "Writer",
    "WriterClosed",
    "asubscribe",
    "subscribe",
]
