"""Contains all the data models used in inputs/outputs"""

from .access import Access
from .activity import Activity
from .add_events import AddEvents
from .added import Added
from .broker_info import BrokerInfo
from .cancel_stream import CancelStream
from .client_counts import ClientCounts
from .client_row import ClientRow
from .connection_info import ConnectionInfo
from .create_stream import CreateStream
from .disconnected import Disconnected
from .end_stream import EndStream
from .error import Error
from .event import Event
from .fail_stream import FailStream
from .finished import Finished
from .issue_token import IssueToken
from .keyed_event import KeyedEvent
from .polled import Polled
from .renew_stream import RenewStream
from .renewed import Renewed
from .send_signal import SendSignal
from .signal_record import SignalRecord
from .signal_sent import SignalSent
from .signals import Signals
from .stored_event import StoredEvent
from .stream_row import StreamRow
from .stream_state import StreamState
from .upload_summary import UploadSummary

__all__ = (
    "Access",
    "Activity",
    "Added",
    "AddEvents",
    "BrokerInfo",
    "CancelStream",
    "ClientCounts",
    "ClientRow",
    "ConnectionInfo",
    "CreateStream",
    "Disconnected",
    "EndStream",
    "Error",
    "Event",
    "FailStream",
    "Finished",
    "IssueToken",
    "KeyedEvent",
    "Polled",
    "Renewed",
    "RenewStream",
    "SendSignal",
    "SignalRecord",
    "Signals",
    "SignalSent",
    "StoredEvent",
    "StreamRow",
    "StreamState",
    "UploadSummary",
)
