"""What a subscription to several streams follows, without I/O."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from . import _cursor
from ._changes import Change, Member
from ._cursor import Position
from ._errors import Refused, TinistreamerError, Unreachable
from ._events import KeyedEvent
from ._frames import PLACED, Answer, Frame
from ._missed import MissedTotal, sum_of
from ._positions import Resumption, Streams, placed_or
from ._request import SubscribeRequest, begin_pairs, begins_anywhere, with_query
from ._sequence import SequenceCheck, Status


class ManyStreams(Streams[KeyedEvent]):
    """Several streams. They may be changed from other threads than the one that reads."""

    def __init__(
        self,
        url: str,
        keys: Iterable[str],
        after: str | Mapping[str, str] | None,
        wanted: SubscribeRequest,
    ) -> None:
        super().__init__()
        if isinstance(keys, str):
            raise TypeError("keys is a list of keys")
        self._url, self._wanted = url, wanted
        if isinstance(after, str):
            _cursor.check(after)
            known, base = _cursor.parse(after)
        else:
            known, base = {key: Position(event_id) for key, event_id in (after or {}).items()}, []
        # The items of the newest cursor that the broker made: what it says of some streams, only the broker can read.
        self._base = base
        self._members: dict[str, Member] = {}
        for key in keys:
            position = known.get(key, Position(None))
            self._members[key] = self._member(
                position.id,
                wanted.from_,
                wait=wanted.wait,
                is_finished=position.is_last,
                in_base=bool(base) and key not in known,
            )
        if not self._members:
            raise ValueError("There is no stream to follow")
        # The streams of the connection.
        self._connected: list[str] = []
        # Changes that wait for a connection to be made, and those that the one in the making asks for.
        self._entered: list[Change] = []
        self._entering: list[Change] = []
        # Changes that wait for an answer.
        self._asked: deque[Change] = deque()
        self._takes_questions = False
        self._lock = threading.RLock()

    def _member(
        self,
        after: str | None,
        from_: str | None,
        *,
        wait: bool,
        is_finished: bool = False,
        in_base: bool = False,
    ) -> Member:
        anywhere = in_base or begins_anywhere(from_)
        track = SequenceCheck(
            after, is_filtered=self._wanted.events is not None, begins_anywhere=anywhere
        )
        return Member(track, from_, wait, is_finished, in_base)

    @property
    def statuses(self) -> dict[str, Status | None]:
        """What became of each stream; None: it is finished, and there was nothing after the position."""
        with self._lock:
            return {
                key: member.track.status if member.is_finished else "active"
                for key, member in self._members.items()
            }

    @property
    def missed(self) -> MissedTotal | None:
        """The events that are missing in all streams that were not dropped."""
        with self._lock:
            return sum_of(member.track.missed.total for member in self._members.values())

    @property
    def is_over(self) -> bool:
        with self._lock:
            return bool(self._members) and all(
                member.is_finished for member in self._members.values()
            )

    @property
    def is_idle(self) -> bool:
        with self._lock:
            return not self._members

    @property
    def cursor(self) -> str | None:
        """The positions in all streams, which the broker takes over any transport."""
        with self._lock:
            return self._cursor(
                [key for key, member in self._members.items() if member.begins and member.is_placed]
            )

    def _cursor(self, at_start: Iterable[str]) -> str | None:
        positions = {key: Position(None) for key in at_start}
        positions |= {
            key: member.position
            for key, member in self._members.items()
            if member.position is not None
        }
        in_base = {key for key, member in self._members.items() if member.in_base}
        # Positions that are spelled out and belong to streams that are followed no longer, or are newer elsewhere.
        kept = [
            item
            for item in self._base
            if (read := _cursor.head(item)) is None or read[0] in in_base
        ]
        return _cursor.join(positions, kept)

    def begin_connection(self) -> Resumption:
        with self._lock:
            self._inbox.clear()
            self._entering = [*self._entered]
            wanted = {
                key: member for key, member in self._members.items() if not member.is_finished
            }
            self._connected = list(wanted)
            # One `from` is for all of a connection: a stream that begins at its start is named then.
            from_ = next(
                (
                    member.from_
                    for member in wanted.values()
                    if member.begins and begins_anywhere(member.from_)
                ),
                None,
            )
            at_start = [
                key
                for key, member in wanted.items()
                if member.begins and not begins_anywhere(member.from_)
            ]
            begin = begin_pairs(from_, wait=any(member.wait for member in wanted.values()))
            pairs = [*(("key", key) for key in wanted), *self._wanted.pairs, *begin]
            return Resumption(
                with_query(self._url, pairs, without="key"),
                self._cursor(at_start if from_ is not None else []),
            )

    def receive(self, frames: Iterable[Frame]) -> None:
        with self._lock:
            for frame in frames:
                if frame is PLACED:
                    self._inbox.append(frame)
                elif frame.key is None and frame.cursor is None:
                    if len(self._connected) != 1:
                        raise Unreachable("An event does not say which stream it is from")
                    self._inbox.append(replace(frame, key=self._connected[0]))
                # One that was dropped meanwhile is in none of them.
                elif frame.key is None or frame.key in self._connected:
                    self._inbox.append(frame)

    def take(self) -> KeyedEvent | None:
        with self._lock:
            if not self._inbox:
                return None
            frame = self._inbox.popleft()
            if frame is PLACED:
                for member in self._members.values():
                    if member.begins and member not in (change.member for change in self._entered):
                        member.is_placed = member.is_placed or begins_anywhere(member.from_)
                        member.from_ = None
                return None
            if frame.key is None:
                self._rebase(frame.cursor)
                return None
            member = self._members[frame.key]
            event = member.track.accept(frame)
            member.is_finished = member.track.status is not None
            # Word of missed events moves nothing: asked again from there, the broker tells the same again.
            if event is None or event.missed is None:
                if frame.cursor is not None:
                    self._rebase(frame.cursor)
                else:
                    member.in_base = False
            return (
                KeyedEvent(event.id, event.event, event.data, event.missed, key=frame.key)
                if event is not None
                else None
            )

    def _rebase(self, cursor: str | None) -> None:
        """The broker told its cursor for the streams of the connection."""
        if cursor is None:
            return
        self._base = cursor.split(",")
        for key, member in self._members.items():
            member.in_base = key in self._connected

    def complete(self) -> None:
        with self._lock:
            for key in self._connected:
                self._members[key].is_finished = True

    def of_sse(self, frame: Frame) -> Frame:
        with self._lock:
            if len(self._connected) == 1:
                return placed_or(frame)
        head = _cursor.head(frame.id) if frame.id is not None else None
        if head is None:
            raise Unreachable("An event does not say which stream it is from")
        return replace(frame, key=head[0], id=head[1], cursor=frame.id)

    def of_cursor(self, cursor: str) -> Frame:
        with self._lock:
            if len(self._connected) == 1:
                return Frame(cursor, None, key=self._connected[0])
        return Frame(None, None, cursor=cursor)

    def add(self, key: str, *, after: str | None, from_: str | None, wait: bool | None) -> Change:
        """Begins to add a stream. Raises `Refused` if it is there."""
        from_ = self._wanted.from_ if from_ is None else from_
        wait = self._wanted.wait if wait is None else wait
        with self._lock:
            if (key in self._members and not self._members[key].is_finished) or any(
                change.key == key and change.member for change in self._asked
            ):
                raise Refused("already-subscribed", "The stream is one of the subscription's")
            return self._begun(Change(key, self._member(after, from_, wait=wait)))

    def drop(self, key: str) -> Change:
        """Begins to drop a stream. Raises `Refused` if it is not there."""
        with self._lock:
            if key not in self._members:
                raise Refused("not-subscribed", "The stream is none of the subscription's")
            return self._begun(Change(key, None))

    def _begun(self, change: Change) -> Change:
        change.is_asked = self._takes_questions
        if change.is_asked:
            self._asked.append(change)
        else:
            self._enter(change)
        return change

    def _enter(self, change: Change) -> None:
        """The next connection is to have the change."""
        if change.member is None:
            self._drop(change)
        else:
            self._members[change.key] = change.member
            self._entered.append(change)

    def _drop(self, change: Change) -> None:
        if member := self._members.pop(change.key, None):
            change.position = member.track.position
        if change.key in self._connected:
            self._connected.remove(change.key)
        self._inbox = deque(frame for frame in self._inbox if frame.key != change.key)
        # An addition that no connection has asked for yet is over with it.
        for added in [added for added in self._entered if added.key == change.key]:
            added.settle()
        self._entered = [added for added in self._entered if added.key != change.key]
        self._entering = [added for added in self._entering if added.key != change.key]
        # The base may name it, in a form that can't be changed: it would not begin anew if it were added again.
        followed = [member for member in self._members.values() if member.in_base]
        if all(member.track.position is not None for member in followed):
            self._base = []
            for member in followed:
                member.in_base = False
        change.settle()

    def takes_questions(self) -> None:
        """The connection can be asked for changes."""
        with self._lock:
            self._takes_questions = True

    def answered(self, answer: Answer) -> None:
        """The broker answered the oldest question."""
        with self._lock:
            if not self._asked:
                raise Unreachable("An answer came to no question")
            change = self._asked.popleft()
            if answer.op == "error" and not (
                change.member is None and answer.code == "not-subscribed"
            ):
                change.settle(Refused(answer.code, answer.message))
            elif change.member is None:
                # Of a stream that has ended the broker may know no longer.
                self._drop(change)
            else:
                member = change.member
                added = self._member(answer.after, member.from_, wait=member.wait)
                # With no position told, it begins with its first event.
                added.from_ = None
                self._members[change.key] = added
                self._connected = [
                    *(key for key in self._connected if key != change.key),
                    change.key,
                ]
                change.settle()

    @property
    def is_adding(self) -> bool:
        with self._lock:
            return bool(self._entering)

    def connected(self) -> None:
        self._settle_entering(None)

    def refused(self, error: TinistreamerError) -> None:
        with self._lock:
            for change in self._entering:
                del self._members[change.key]
            self._settle_entering(Refused(error.code, error.message))

    def _settle_entering(self, error: TinistreamerError | None) -> None:
        with self._lock:
            for change in self._entering:
                self._entered.remove(change)
                change.settle(error)
            self._entering = []

    def disconnected(self) -> None:
        with self._lock:
            self._takes_questions = False
            while self._asked:
                self._enter(self._asked.popleft())
