"""The streams of a subscription to several, and its position in each. No I/O."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from . import _cursor
from ._changes import Change, Changes, Member
from ._cursor import Position
from ._errors import Refused, TinistreamerError, Unreachable
from ._events import KeyedEvent
from ._frames import POSITIONS_SENT, CommandReply, Frame
from ._missed import MissedTotal, sum_of
from ._positions import Resumption, Streams, without_wait_marker
from ._reason import Reason
from ._request import SubscribeRequest, may_start_anywhere, start_parameters, with_query
from ._sequence import SequenceCheck
from ._status import Status


class ManyStreams(Streams[KeyedEvent]):
    """Several streams. Other threads than the reading one may add and drop streams."""

    def __init__(
        self, request: SubscribeRequest, keys: Iterable[str], after: str | Mapping[str, str] | None
    ) -> None:
        super().__init__(request)
        if isinstance(keys, str):
            raise TypeError("keys is a list of keys")
        if isinstance(after, str):
            _cursor.check(after)
            known, opaque = _cursor.parse(after)
        else:
            known = {key: Position(event_id) for key, event_id in (after or {}).items()}
            opaque = []
        # The items of the newest cursor from the broker. Only the broker can read some of them.
        self._broker_cursor = opaque
        self._members: dict[str, Member] = {}
        for key in keys:
            position = known.get(key, Position(None))
            self._members[key] = self._member(
                position.id,
                request.from_,
                wait=request.wait,
                is_finished=position.is_last,
                in_broker_cursor=bool(opaque) and key not in known,
            )
        if not self._members:
            raise ValueError("There is no stream to follow")
        # The keys of the current connection.
        self._connected: list[str] = []
        self._changes = Changes()
        self._lock = threading.RLock()

    def _member(
        self,
        after: str | None,
        from_: str | None,
        *,
        wait: bool,
        is_finished: bool = False,
        in_broker_cursor: bool = False,
    ) -> Member:
        anywhere = in_broker_cursor or may_start_anywhere(from_)
        sequence = SequenceCheck(
            after, is_filtered=self._request.is_filtered, may_start_anywhere=anywhere
        )
        return Member(sequence, from_, wait, is_finished, in_broker_cursor)

    @property
    def statuses(self) -> dict[str, Status | None]:
        """The status of each stream.

        None: the stream is finished, and no event followed the position.
        """
        with self._lock:
            return {
                key: member.sequence.status if member.is_finished else "active"
                for key, member in self._members.items()
            }

    @property
    def reasons(self) -> dict[str, Reason | None]:
        """What the last event of each stream says; None before, and when it says nothing."""
        with self._lock:
            return {key: member.sequence.reason for key, member in self._members.items()}

    @property
    def missed(self) -> MissedTotal | None:
        """The missing events of all streams, without dropped ones."""
        with self._lock:
            return sum_of(member.sequence.missed.total for member in self._members.values())

    @property
    def is_over(self) -> bool:
        with self._lock:
            members = self._members.values()
            return bool(members) and all(member.is_finished for member in members)

    @property
    def may_be_over(self) -> bool:
        with self._lock:
            members = self._members.values()
            return bool(members) and all(
                member.is_finished or member.sequence.status_if_last is not None
                for member in members
            )

    @property
    def is_idle(self) -> bool:
        with self._lock:
            return not self._members

    @property
    def cursor(self) -> str | None:
        """The positions in all streams as text, for any transport."""
        with self._lock:
            return self._join_cursor(
                key
                for key, member in self._members.items()
                if member.has_no_position and member.starts_at_first_event
            )

    def _join_cursor(self, at_start: Iterable[str]) -> str | None:
        positions = {key: Position(None) for key in at_start}
        for key, member in self._members.items():
            if member.position is not None:
                positions[key] = member.position
        # Leaves out readable positions of dropped streams, and those that a member has newer.
        current = {key for key, member in self._members.items() if member.in_broker_cursor}
        kept = [
            item
            for item in self._broker_cursor
            if (head := _cursor.head(item)) is None or head[0] in current
        ]
        return _cursor.join(positions, kept)

    def begin_connection(self) -> Resumption:
        with self._lock:
            self._inbox.clear()
            self._changes.begin_connection()
            members = {
                key: member for key, member in self._members.items() if not member.is_finished
            }
            self._connected = list(members)
            # A connection has one `from` for all its streams. When there is one, the cursor must
            # name each stream that starts with its first event.
            new = {key: member for key, member in members.items() if member.has_no_position}
            elsewhere = [
                member.from_ for member in new.values() if may_start_anywhere(member.from_)
            ]
            from_ = elsewhere[0] if elsewhere else None
            at_start = [key for key, member in new.items() if not may_start_anywhere(member.from_)]
            pairs = [
                *(("key", key) for key in members),
                *self._request.parameters,
                *start_parameters(from_, wait=any(member.wait for member in members.values())),
            ]
            url = with_query(self._request.url, pairs, without="key")
            return Resumption(url, self._join_cursor(at_start if from_ is not None else []))

    def receive(self, frames: Iterable[Frame]) -> None:
        with self._lock:
            for frame in frames:
                if frame is POSITIONS_SENT:
                    self._inbox.append(frame)
                elif frame.key is None and frame.cursor is None:
                    if len(self._connected) != 1:
                        raise Unreachable("An event does not say which stream it is from")
                    self._inbox.append(replace(frame, key=self._connected[0]))
                # A caller may have dropped the stream before its frame arrived.
                elif frame.key is None or frame.key in self._connected:
                    self._inbox.append(frame)

    def take(self) -> KeyedEvent | None:
        with self._lock:
            if not self._inbox:
                return None
            frame = self._inbox.popleft()
            if frame is POSITIONS_SENT:
                self._fix_start_positions()
                return None
            if frame.key is None:
                self._take_cursor(frame.cursor)
                return None
            member = self._members[frame.key]
            event = member.sequence.accept(frame)
            member.is_finished = member.sequence.status is not None
            # A loss does not move the position: a new connection from there reports it again.
            if event is None or event.missed is None:
                if frame.cursor is not None:
                    self._take_cursor(frame.cursor)
                else:
                    member.in_broker_cursor = False
            if event is None:
                return None
            return KeyedEvent(
                event.id, event.event, event.data, event.missed, event.count, key=frame.key
            )

    def _fix_start_positions(self) -> None:
        """Streams without a position start with their first event, in spite of their `from`."""
        for member in self._members.values():
            if member.has_no_position and not self._changes.is_waiting(member):
                if may_start_anywhere(member.from_):
                    member.starts_at_first_event = True
                member.from_ = None

    def _take_cursor(self, cursor: str | None) -> None:
        """Replaces the broker's cursor by a newer one, for the streams of the connection."""
        if cursor is None:
            return
        self._broker_cursor = cursor.split(",")
        for key, member in self._members.items():
            member.in_broker_cursor = key in self._connected

    def complete(self) -> None:
        with self._lock:
            for key in self._connected:
                self._members[key].sequence.complete()
                self._members[key].is_finished = True

    def resolve_sse(self, frame: Frame) -> Frame:
        with self._lock:
            if len(self._connected) == 1:
                return without_wait_marker(frame)
        head = _cursor.head(frame.id) if frame.id is not None else None
        if head is None:
            raise Unreachable("An event does not say which stream it is from")
        key, position = head
        # The cursor of a last event says that it is the last, so that no 204 is needed.
        status = frame.status_if_last if position.is_last else None
        return replace(frame, key=key, id=position.id, cursor=frame.id, status=status)

    def position_frame(self, cursor: str) -> Frame:
        with self._lock:
            if len(self._connected) == 1:
                return Frame(cursor, None, key=self._connected[0])
        return Frame(None, None, cursor=cursor)

    def add(self, key: str, *, after: str | None, from_: str | None, wait: bool | None) -> Change:
        """Starts to add a stream. Raises `Refused` when the subscription has it."""
        from_ = self._request.from_ if from_ is None else from_
        wait = self._request.wait if wait is None else wait
        with self._lock:
            is_member = key in self._members and not self._members[key].is_finished
            if is_member or self._changes.is_adding_by_command(key):
                raise Refused("already-subscribed", "The stream is one of the subscription's")
            return self._begin(Change(key, self._member(after, from_, wait=wait)))

    def drop(self, key: str) -> Change:
        """Starts to drop a stream. Raises `Refused` when the subscription does not have it."""
        with self._lock:
            if key not in self._members:
                raise Refused("not-subscribed", "The stream is none of the subscription's")
            return self._begin(Change(key, None))

    def _begin(self, change: Change) -> Change:
        if self._changes.accepts_commands:
            self._changes.add_command(change)
        else:
            self._apply_to_next_connection(change)
        return change

    def _apply_to_next_connection(self, change: Change) -> None:
        if change.member is None:
            self._drop(change)
        else:
            self._members[change.key] = change.member
            self._changes.add_waiting(change)

    def _drop(self, change: Change) -> None:
        if member := self._members.pop(change.key, None):
            change.position = member.sequence.position
        if change.key in self._connected:
            self._connected.remove(change.key)
        self._inbox = deque(frame for frame in self._inbox if frame.key != change.key)
        self._changes.drop(change.key)
        self._discard_broker_cursor()
        change.settle()

    def _discard_broker_cursor(self) -> None:
        """Forgets the broker's cursor when the positions of all its members are known.

        An opaque item may contain the position of the dropped stream. The stream would continue
        there after it was added again.
        """
        covered = [member for member in self._members.values() if member.in_broker_cursor]
        if all(member.sequence.position is not None for member in covered):
            self._broker_cursor = []
            for member in covered:
                member.in_broker_cursor = False

    def accept_commands(self) -> None:
        with self._lock:
            self._changes.accepts_commands = True

    def replied(self, reply: CommandReply) -> None:
        with self._lock:
            change = self._changes.take_command()
            is_unknown = change.member is None and reply.code == "not-subscribed"
            if reply.op == "error" and not is_unknown:
                change.settle(Refused(reply.code, reply.message))
            elif change.member is None:
                # The broker may already have removed a finished stream.
                self._drop(change)
            else:
                self._added(change, change.member, reply.after)

    def _added(self, change: Change, member: Member, position: str | None) -> None:
        """The broker has added a stream by a command."""
        added = self._member(position, member.from_, wait=member.wait)
        # Without a position from the broker, the stream starts with its first event.
        added.from_ = None
        self._members[change.key] = added
        others = [key for key in self._connected if key != change.key]
        self._connected = [*others, change.key]
        change.settle()

    @property
    def is_adding(self) -> bool:
        with self._lock:
            return self._changes.is_adding

    def connected(self) -> None:
        with self._lock:
            self._changes.settle_requested()

    def refused(self, error: TinistreamerError) -> None:
        with self._lock:
            for change in self._changes.settle_requested(Refused(error.code, error.message)):
                del self._members[change.key]

    def disconnected(self) -> None:
        with self._lock:
            for change in self._changes.take_commands():
                self._apply_to_next_connection(change)
