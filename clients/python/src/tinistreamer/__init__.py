"""The client library of the tinistreamer broker.

A backend uses `Client` or `AsyncClient` to manage streams and to publish events. A subscriber uses
`subscribe` or `asubscribe` to follow a stream.
"""

from ._async.answers import AsyncAnswers
from ._async.client import AsyncClient
from ._async.many_subscription import AsyncManySubscription
from ._async.subscribe import asubscribe, asubscribe_many
from ._async.subscription import AsyncSubscription
from ._async.writer import AsyncWriter
from ._connection_changes import ConnectionChange
from ._errors import (
    AnswerNotFound,
    ApiError,
    Disconnected,
    DisconnectedByOperator,
    EventsMissed,
    Gap,
    InvalidEvent,
    ModelFailed,
    PublishError,
    Refused,
    Stopped,
    StreamFailed,
    StreamNotActive,
    SubscriptionOver,
    TinistreamerError,
    TooManyAnswers,
    Unreachable,
    WriterClosed,
)
from ._events import Event, KeyedEvent, Missed
from ._failure import Failure
from ._generated.models import (
    Access,
    Added,
    BrokerInfo,
    ClientRow,
    ConnectionInfo,
    Finished,
    Renewed,
    SignalRecord,
    Signals,
    SignalSent,
    StoredEvent,
    StreamRow,
    StreamState,
)
from ._generated.models import Disconnected as Disconnection
from ._generated.models import Event as NewEvent
from ._missed import MissedTotal
from ._model_failure import model_failure
from ._reason import Reason
from ._stop import Stop
from ._sync.answers import Answers
from ._sync.client import Client
from ._sync.many_subscription import ManySubscription
from ._sync.subscribe import subscribe, subscribe_many
from ._sync.subscription import Subscription
from ._sync.writer import Writer
from ._writer_options import Ack

__all__ = [
    "Access",
    "Ack",
    "Added",
    "AnswerNotFound",
    "Answers",
    "ApiError",
    "AsyncAnswers",
    "AsyncClient",
    "AsyncManySubscription",
    "AsyncSubscription",
    "AsyncWriter",
    "BrokerInfo",
    "Client",
    "ClientRow",
    "ConnectionChange",
    "ConnectionInfo",
    "Disconnected",
    "DisconnectedByOperator",
    "Disconnection",
    "Event",
    "EventsMissed",
    "Failure",
    "Finished",
    "Gap",
    "InvalidEvent",
    "KeyedEvent",
    "ManySubscription",
    "Missed",
    "MissedTotal",
    "ModelFailed",
    "NewEvent",
    "PublishError",
    "Reason",
    "Refused",
    "Renewed",
    "SignalRecord",
    "SignalSent",
    "Signals",
    "Stop",
    "Stopped",
    "StoredEvent",
    "StreamFailed",
    "StreamNotActive",
    "StreamRow",
    "StreamState",
    "Subscription",
    "SubscriptionOver",
    "TinistreamerError",
    "TooManyAnswers",
    "Unreachable",
    "Writer",
    "WriterClosed",
    "asubscribe",
    "asubscribe_many",
    "model_failure",
    "subscribe",
    "subscribe_many",
]
