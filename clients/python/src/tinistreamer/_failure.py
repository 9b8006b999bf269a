"""What a writer says about a producer that failed. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ._log import log
from ._surrogates import well_formed

_CODE = re.compile(r"[a-z0-9-]{1,64}")
_LONGEST_MESSAGE = 1024


@dataclass(frozen=True)
class Failure:
    """Why a producer failed, for the subscribers of its stream.

    Raises `ValueError` for a code that the broker would refuse.
    """

    code: str | None = None
    """A word for programs: 1 to 64 of `a` to `z`, `0` to `9` and `-`. None: `error`."""
    message: str | None = None
    """A text for people. It is cut after 1 KiB of UTF-8."""

    def __post_init__(self) -> None:
        if self.code is not None and not _CODE.fullmatch(self.code):
            raise ValueError("The code of a failure is 1 to 64 of a to z, 0 to 9 and -")
        if self.message is not None:
            whole = well_formed(self.message).encode()
            object.__setattr__(self, "message", whole[:_LONGEST_MESSAGE].decode(errors="ignore"))


FailureOf = Callable[[BaseException], Failure]
"""A function of the caller's that says what an error in a writer's block means."""


def failure_of(error: BaseException, describe: FailureOf | None) -> Failure:
    """Returns what subscribers learn about an error that left a writer's block.

    The text of the error may hold a secret, so it is no part of that.
    """
    if describe is not None:
        try:
            described = cast("object", describe(error))
        except Exception as fault:  # noqa: BLE001 - the stream must be finished all the same
            log.warning("The function `failure` raised %s", type(fault).__name__)
        else:
            if isinstance(described, Failure):
                return described
            log.warning("The function `failure` returned no Failure")
    # A cancelled task, KeyboardInterrupt, the end of the interpreter or of a generator.
    if not isinstance(error, Exception):
        return Failure("interrupted", "The producer was interrupted")
    return Failure("error", "The producer failed")
