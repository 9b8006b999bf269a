"""Client for the tinistreamer broker.

A backend uses `Client` or `AsyncClient`: it manages streams and publishes events. Whoever follows a stream uses `subscribe` or
`asubscribe`.
"""

from ._aclient import AsyncClient
from ._asubscription import AsyncManySubscription, AsyncSubscription
from ._awriter import AsyncWriter
from ._client import Client
from ._errors import (
    ApiError,
    Disconnected,
    DisconnectedByOperator,
    EventsMissed,
    Gap,
    InvalidEvent,
    PublishError,
    Refused,
    StreamNotActive,
    SubscriptionOver,
    TinistreamerError,
    Unreachable,
    WriterClosed,
)
from ._events import Event, KeyedEvent, Missed
from ._generated.models import (
    Access,
    Added,
    BrokerInfo,
    ClientRow,
    ConnectionInfo,
    Finished,
    StoredEvent,
    StreamRow,
    StreamState,
)
from ._generated.models import Disconnected as Disconnection
from ._generated.models import Event as NewEvent
from ._missed import MissedTotal
from ._subscribe import asubscribe, asubscribe_many, subscribe, subscribe_many
from ._subscription import ManySubscription, Subscription
from ._writer import Writer
from ._writer_options import Ack

__all__ = [
    "Access",
    "Ack",
    "Added",
    "ApiError",
    "AsyncClient",
    "AsyncManySubscription",
    "AsyncSubscription",
    "AsyncWriter",
    "BrokerInfo",
    "Client",
    "ClientRow",
    "ConnectionInfo",
    "Disconnected",
    "DisconnectedByOperator",
    "Disconnection",
    "Event",
    "EventsMissed",
    "Finished",
    "Gap",
    "InvalidEvent",
    "KeyedEvent",
    "ManySubscription",
    "Missed",
    "MissedTotal",
    "NewEvent",
    "PublishError",
    "Refused",
    "StoredEvent",
    "StreamNotActive",
    "StreamRow",
    "StreamState",
    "Subscription",
    "SubscriptionOver",
    "TinistreamerError",
    "Unreachable",
    "Writer",
    "WriterClosed",
    "asubscribe",
    "asubscribe_many",
    "subscribe",
    "subscribe_many",
]
