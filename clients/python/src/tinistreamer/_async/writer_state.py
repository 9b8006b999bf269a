"""What the tasks of one asynchronous writer share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .._errors import TinistreamerError
from .._generated.models import Signals
from .._generated.types import Operation
from .._hearing import Hearing
from .._lease import SHORT_TIMEOUT, Lease
from .._outbox import Outbox
from .._stop import Stop, is_cancelled, stop_among
from .._tasks.concurrency import AsyncCondition, wait_for
from .._tasks.connection import AsyncConnection
from .._tasks.interruption import AsyncInterruption
from .._tasks.source import AsyncSource
from .._writer_options import Ack, WriterOptions
from .http_client import AsyncHttp

T = TypeVar("T")

# More than the answers of about 64 KiB that the signals of one stream can fill.
_MOST_PAGES = 32


class AsyncWriterState:
    """The events, the lease and the signals of one writer. `changed` guards them.

    It does not know the writer: one that its program drops must not keep its lease.
    """

    def __init__(self, http: AsyncHttp, options: WriterOptions) -> None:
        self.http = http
        self.options = options
        self.outbox = Outbox(options, http.broker.timeout)
        self.lease = Lease(options.lease, options.key, options.generation)
        self.hearing = Hearing(options.key, options.generation)
        self.changed = AsyncCondition()
        self.block = AsyncInterruption()
        self.is_left = False
        """Whether the program has no more use for the writer."""
        self.on_failure: Callable[[], None] = lambda: None
        """Called when the writer has failed."""
        self._sources: list[AsyncSource] = []

    @property
    def is_over(self) -> bool:
        """Whether the writer was finished, closed, left or dropped, or has failed."""
        return self.outbox.settled or self.is_left or self.outbox.failure is not None

    def drop(self) -> None:
        """The program has dropped the writer: the lease ends at its next renewal."""
        self.is_left = True

    async def leave(self) -> None:
        """The program has no more use for the writer."""
        async with self.changed:
            self.is_left = True
            self.changed.notify_all()

    async def attempt(
        self,
        operation: Operation[T],
        timeout: float | None = None,
        connection: AsyncConnection | None = None,
    ) -> T | TinistreamerError:
        """Sends a request, and returns the broker's response or the error."""
        try:
            return await self.http.execute(operation, timeout, connection=connection)
        except TinistreamerError as error:
            return error

    async def wait_for_events(self, holds: Callable[[], object] = lambda: False) -> None:
        """Waits for events to send, for the end, or until `holds`. The caller has locked."""
        outbox = self.outbox

        def is_ready() -> object:
            return outbox.unsent or outbox.is_drained or holds()

        while not is_ready():
            left = outbox.gathering_left
            if left is None:
                await self.changed.wait_for(lambda: is_ready() or outbox.gathering_left is not None)
            else:
                await wait_for(self.changed, is_ready, left)
            outbox.release_due()

    async def acknowledge(self, take_reply: Callable[[], Ack]) -> None:
        """Takes a reply of the broker, and reports the events that it confirms."""
        async with self.changed:
            before = self.outbox.acknowledged
            try:
                ack = take_reply()
            finally:
                self.changed.notify_all()
        if self.options.on_ack is not None and ack.count > before:
            self.options.on_ack(ack)

    async def fail(self, error: Exception) -> None:
        """Records that no more events can be sent."""
        await self.look_for_stop(error)
        async with self.changed:
            self.outbox.fail(error)
            self._interrupt_sources()
            self.changed.notify_all()
        self.on_failure()

    async def stopped(self, stop: Stop) -> None:
        """Records a stop. Only the first one counts."""
        async with self.changed:
            # The writer itself may be the one that cancels the stream.
            if self.outbox.stop is not None or self.outbox.is_dropped or self.outbox.settled:
                return
            self.outbox.stop = stop
            self.block.interrupt()
            self._interrupt_sources()
            self.changed.notify_all()

    async def look_for_stop(self, error: Exception) -> None:
        """Records a stop when the error says that the stream is cancelled."""
        if is_cancelled(error) and self.outbox.stop is None:
            await self.stopped(await self.find_stop())

    async def find_stop(self) -> Stop:
        """Reads the signals to learn who has stopped the stream. Does not wait for any."""
        after = 0
        for _ in range(_MOST_PAGES):
            outcome = await self.attempt(self.hearing.read(after), SHORT_TIMEOUT)
            if not isinstance(outcome, Signals) or not outcome.signals:
                break
            if (stop := stop_among(outcome.signals)) is not None:
                return stop
            after = outcome.signals[-1].seq
        return Stop(by=None)

    def add_source(self, source: AsyncSource) -> None:
        """Interrupts a source at a stop, and when the writer fails. The caller has locked."""
        self._sources.append(source)
        if self.outbox.stop is not None or self.outbox.failure is not None:
            source.interrupt()

    def remove_source(self, source: AsyncSource) -> None:
        """The source has ended."""
        self._sources.remove(source)

    def _interrupt_sources(self) -> None:
        for source in [*self._sources]:
            source.interrupt()
