"""Streams that a caller adds to a subscription, or drops from it. No I/O."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

from ._cursor import Position
from ._errors import Refused, TinistreamerError, Unreachable
from ._sequence import SequenceCheck


@dataclass
class Member:
    """One stream of a subscription to several, and the position in it."""

    sequence: SequenceCheck
    from_: str | None
    wait: bool
    is_finished: bool = False
    in_broker_cursor: bool = False
    """Whether the broker's cursor has its position, or a newer one than `sequence`."""
    starts_at_first_event: bool = False
    """Whether it starts with its first event in spite of `from`, after a wait for the stream."""

    @property
    def position(self) -> Position | None:
        """The position to write into a cursor; None when the broker's cursor has it."""
        if self.in_broker_cursor or self.sequence.position is None:
            return None
        is_last = self.is_finished and self.sequence.status != "gone"
        return Position(self.sequence.position, is_last)

    @property
    def has_no_position(self) -> bool:
        """Whether the position is unknown, so that the stream starts where `from` says."""
        return not self.in_broker_cursor and self.sequence.position is None


class Change:
    """A stream that a caller adds (`member`) or drops (None), and the outcome."""

    def __init__(self, key: str, member: Member | None) -> None:
        self.key = key
        self.member = member
        self.is_command = False
        """Whether the change is sent as a command. Else the next connection carries it."""
        self.is_settled = False
        self.error: TinistreamerError | None = None
        self.position: str | None = None
        """The id of the last event that the subscription yielded of a dropped stream."""

    @property
    def command(self) -> str:
        """The WebSocket message that asks the broker for the change."""
        if self.member is None:
            return json.dumps({"op": "unsubscribe", "key": self.key})
        command: dict[str, object] = {"op": "subscribe", "key": self.key}
        if self.member.sequence.position is not None:
            command["after"] = self.member.sequence.position
        if self.member.from_ is not None:
            command["from"] = self.member.from_
        if self.member.wait:
            command["wait"] = True
        return json.dumps(command)

    def settle(self, error: TinistreamerError | None = None) -> None:
        """Records that the change is done, or why the broker refused it."""
        # In this order: another thread reads the error once the change is settled.
        self.error = error
        self.is_settled = True


class Changes:
    """The changes that the broker has not confirmed yet. The owner serializes the calls."""

    def __init__(self) -> None:
        self.accepts_commands = False
        """Whether the connection accepts commands."""
        # Commands that wait for a reply, in the order in which they were sent.
        self._commands: deque[Change] = deque()
        # Additions that the next connection will ask for.
        self._waiting: list[Change] = []
        # Additions that the connection in progress asks for.
        self._requested: list[Change] = []

    @property
    def is_adding(self) -> bool:
        """Whether the connection in progress asks for streams that a caller is adding."""
        return bool(self._requested)

    def is_adding_by_command(self, key: str) -> bool:
        """Whether a command that adds this stream waits for its reply."""
        return any(change.key == key and change.member for change in self._commands)

    def is_waiting(self, member: Member) -> bool:
        """Whether the stream waits for a connection that asks for it."""
        return any(change.member is member for change in self._waiting)

    def add_command(self, change: Change) -> None:
        """The change will be sent as a command."""
        change.is_command = True
        self._commands.append(change)

    def take_command(self) -> Change:
        """Takes the oldest command, for the broker's reply to it."""
        if not self._commands:
            raise Unreachable("The broker replied to no command")
        return self._commands.popleft()

    def take_commands(self) -> list[Change]:
        """Takes all commands, after the connection was closed."""
        self.accepts_commands = False
        commands = list(self._commands)
        self._commands.clear()
        return commands

    def add_waiting(self, change: Change) -> None:
        """The next connection will ask for the added stream."""
        self._waiting.append(change)

    def begin_connection(self) -> None:
        """A new connection asks for all waiting additions."""
        self._requested = [*self._waiting]

    def drop(self, key: str) -> None:
        """Settles the additions of a stream that is dropped before a connection asked for it."""
        for change in self._waiting:
            if change.key == key:
                change.settle()
        self._waiting = [change for change in self._waiting if change.key != key]
        self._requested = [change for change in self._requested if change.key != key]

    def settle_requested(self, error: Refused | None = None) -> list[Change]:
        """Settles and returns the additions that the connection in progress asked for."""
        settled, self._requested = self._requested, []
        for change in settled:
            self._waiting.remove(change)
            change.settle(error)
        return settled
