"""Work that outlives the call that began it, with threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Background:
    """Runs functions in threads of their own."""

    def __init__(self) -> None:
        self._jobs: set[_Job] = set()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, run: Callable[[], None], interrupt: Callable[[], None]) -> None:
        """Runs a function. Its error goes to `threading.excepthook`.

        `interrupt` is a function that makes it end, in another thread.
        """
        job = _Job(run, interrupt, self._ended)
        with self._changed:
            self._jobs.add(job)
        job.start()

    def close(self, grace: float, leave: float) -> int:
        """Waits for at most `grace` seconds, and interrupts what still runs.

        That may take `leave` seconds more. Returns how many functions did not end even then.
        """
        self._wait(grace)
        end = time.monotonic() + leave
        with self._changed:
            left = [*self._jobs]
        # All at once: each of them may wait for the broker.
        interruptions = [job.interrupt(end) for job in left]
        for waiting in filter(None, interruptions):
            waiting.join(max(0.0, end - time.monotonic()))
        self._wait(max(0.0, end - time.monotonic()))
        return len(self._jobs)

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs, seconds)

    def _ended(self, job: _Job) -> None:
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()


def call_at_exit(call: Callable[[], object]) -> None:
    """Calls a function when the main thread has ended, before the process does.

    A function of `atexit` could not start threads, from Python 3.12 on.
    """

    def run() -> None:
        threading.main_thread().join()
        call()

    threading.Thread(target=run, name="tinistreamer-exit", daemon=False).start()


class _Job:
    """A function in a thread of its own."""

    def __init__(
        self,
        run: Callable[[], None],
        interrupt: Callable[[], None],
        ended: Callable[[_Job], None],
    ) -> None:
        self._run = run
        self._interrupt = interrupt
        self._ended = ended
        self._is_interrupted = False

    def start(self) -> None:
        """Begins."""
        _start_thread(self._call, "tinistreamer-answer")

    def interrupt(self, end: float) -> threading.Thread | None:
        """Makes the function end. Returns the thread that does it; None when it is done.

        `end` is the time after which it does not begin.
        """
        self._is_interrupted = True
        try:
            return _start_thread(self._interrupt, "tinistreamer-interruption")
        except RuntimeError:
            # Python 3.12 starts no thread once the main thread has ended: then one after another.
            if time.monotonic() < end:
                self._interrupt()
            return None

    def _call(self) -> None:
        try:
            self._run()
        except Exception:
            # The interruption may have closed what the function uses.
            if not self._is_interrupted:
                raise
        finally:
            self._ended(self)


def _start_thread(run: Callable[[], None], name: str) -> threading.Thread:
    # A daemon: the process must not wait for it without a bound.
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
