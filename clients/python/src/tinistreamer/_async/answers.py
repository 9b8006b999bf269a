"""Answers that an asynchronous backend produces in the background."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from threading import Lock
from types import TracebackType

from .._answers import LEAVE, AnswerOptions, page_access
from .._errors import AnswerNotFound, ApiError, TooManyAnswers
from .._failure import FailureOf
from .._generated.models import Access
from .._log import brief, log
from .._settings import broker_settings
from .._tasks.background import AsyncBackground
from .._tasks.source import AsyncItems, close_source
from .._writer_options import IfTaken, Permission
from .client import AsyncClient
from .writer import AsyncWriter

AsyncProduce = Callable[[AsyncWriter], Awaitable[None]] | AsyncItems
"""What makes an answer: a function that takes the writer, or a source for `pipe_from`."""


class AsyncAnswers:
    """Streams that a backend fills in the background, for longer than a request takes.

    Use it in an `async with` block, or call `aclose` at the end of the program. Several tasks may
    use it at once. A stop ends an answer, an error fails its stream, and the death of the process
    abandons it.

    `url` and `api_key` are the broker's. None: the variables `TINISTREAMER_URL` and
    `TINISTREAMER_API_KEY` of the environment. `client` stands for both, and is not closed.
    `prefix`: how the keys of all answers begin. Pages get no access to other streams.
    `permissions`: what pages may do, see `issue_token` of the client.
    `failure`, `lease` and `coalesce`: as in `publish` of the client.
    `grace`: the seconds that answers may still take at the end. Then their streams fail, with the
    code `interrupted`.
    `max_running`: how many answers may be produced at once.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        client: AsyncClient | None = None,
        prefix: str = "answer-",
        permissions: Iterable[Permission] = ("read", "signal"),
        failure: FailureOf | None = None,
        lease: int = 30,
        coalesce: float = 0.0,
        grace: float = 5.0,
        max_running: int = 500,
    ) -> None:
        self._options = AnswerOptions(
            prefix, tuple(permissions), failure, lease, coalesce, grace, max_running
        )
        self._settings = (url, api_key)
        self._given = client
        self._own: AsyncClient | None = None
        # Only for the threads of the synchronous half. Nothing waits while it is held.
        self._lock = Lock()
        self._starting = 0
        self._background = AsyncBackground()

    async def __aenter__(self) -> AsyncAnswers:
        # A setting that is missing must not wait for the first request.
        _ = self.client
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def client(self) -> AsyncClient:
        """The client that all answers share. Raises `ValueError` when a setting is missing."""
        if self._given is not None:
            return self._given
        with self._lock:
            if self._own is None:
                self._own = AsyncClient(*self._find_settings())
            return self._own

    @property
    def running(self) -> int:
        """How many answers are being produced."""
        return len(self._background)

    async def start(
        self,
        produce: AsyncProduce,
        *,
        key: str | None = None,
        subject: str | None = None,
        if_exists: IfTaken | None = None,
        if_finished: IfTaken | None = None,
        ttl: int | None = None,
    ) -> dict[str, str]:
        """Creates a stream, and produces its events in the background.

        `produce` is a function that takes the writer of the stream, or a source for `pipe_from`.
        Returns what a page needs: `key`, `sse_url` and `token`.

        `key` begins with the prefix. None: a new one that nobody can guess. `subject` says who gets
        the token. For the others, see `create_stream` of the client. With `if_exists="attach"`, an
        answer that runs already goes on, and `produce` is not used.

        Raises `TooManyAnswers`, `ApiError` and `Unreachable`, and `ValueError` for another prefix.
        Then a source is closed.
        """
        is_used = False
        try:
            chosen = self._options.new_key() if key is None else self._options.check_key(key)
            with self._place():
                access = await self.client.create_stream(
                    chosen,
                    ttl=ttl,
                    if_exists=if_exists,
                    if_finished=if_finished,
                    # It begins here, as the process may die before the first event.
                    lease=self._options.lease or None,
                    permissions=self._options.permissions,
                    subject=subject,
                )
                is_used = access.created is not False
                if is_used:
                    self._produce(chosen, access, produce)
        finally:
            if not is_used and not callable(produce):
                await close_source(produce)
        return page_access(chosen, access)

    async def access(self, key: str, *, subject: str | None = None) -> dict[str, str]:
        """Returns what a page needs to follow an answer again, such as after a reload.

        Check before who asks: this method does not. Raises `AnswerNotFound`, also for a key without
        the prefix, `ApiError` and `Unreachable`.
        """
        if not self._options.is_answer(key):
            raise AnswerNotFound
        try:
            access = await self.client.issue_token(
                key, permissions=self._options.permissions, subject=subject
            )
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise AnswerNotFound from error
            raise
        return page_access(key, access)

    async def aclose(self) -> None:
        """Waits for the answers, for a while, and closes the client. It can be used again then."""
        left = await self._background.close(self._options.grace, LEAVE)
        if left:
            log.warning("%d answers did not end in time", left)
        own, self._own = self._own, None
        if own is not None:
            await own.aclose()

    def _find_settings(self) -> tuple[str, str]:
        """Returns the broker's URL and API key. Raises `ValueError` when one is missing."""
        return broker_settings(*self._settings)

    def _produce(self, key: str, access: Access, produce: AsyncProduce) -> None:
        options = self._options
        writer = self.client.publish(
            key,
            generation=access.generation,
            failure=options.failure,
            lease=options.lease,
            coalesce=options.coalesce,
            cancel_on_stop=True,
        )
        self._background.start(partial(_run, writer, produce), partial(_interrupt, writer))

    @contextmanager
    def _place(self) -> Generator[None, None, None]:
        """Takes a place among `max_running`, for an answer that begins."""
        with self._lock:
            if self._starting + self.running >= self._options.max_running:
                raise TooManyAnswers(self._options.max_running)
            self._starting += 1
        try:
            yield
        finally:
            with self._lock:
                self._starting -= 1


async def _run(writer: AsyncWriter, produce: AsyncProduce) -> None:
    async with writer:
        if callable(produce):
            await produce(writer)
        else:
            await writer.pipe_from(produce)


async def _interrupt(writer: AsyncWriter) -> None:
    """Fails the stream of an answer that nobody can interrupt otherwise."""
    try:
        await writer.fail("interrupted", "The producer was interrupted")
    except Exception as error:  # noqa: BLE001 - the client is closed meanwhile if this takes long
        log.warning("The stream could not be finished: %s", brief(error))
