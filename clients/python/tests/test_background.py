"""Threads that outlive the call that began them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest
from interfaces import DEADLINE

from tinistreamer._threads import background
from tinistreamer._threads.background import Background


def running(count: int) -> tuple[Background, list[threading.Event]]:
    """Starts functions that only an interruption ends."""
    jobs, ends = Background(), [threading.Event() for _ in range(count)]
    for end in ends:
        jobs.start(partial(wait_for, end), end.set)
    return jobs, ends


def wait_for(end: threading.Event) -> None:
    end.wait(DEADLINE)


def refuse(run: Callable[[], None], name: str) -> threading.Thread:
    """Python 3.12 starts no thread once the main thread has ended."""
    del run, name
    raise RuntimeError


def test_functions_are_interrupted_also_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs, _ = running(3)
    monkeypatch.setattr(background, "_start_thread", refuse)
    assert jobs.close(0.0, DEADLINE) == 0


def test_no_interruption_begins_after_the_time_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, ends = running(2)
    monkeypatch.setattr(background, "_start_thread", refuse)
    assert jobs.close(0.0, 0.0) == 2
    assert not any(end.is_set() for end in ends)
    for end in ends:
        end.set()
