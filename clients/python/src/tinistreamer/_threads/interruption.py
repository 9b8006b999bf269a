"""Interrupting code of the caller's: a thread cannot be interrupted."""

from __future__ import annotations


class Interruption:
    """Does nothing: a thread goes on until its code looks at the stop."""

    def enter(self, *, is_due: bool = False) -> None:
        """Does nothing."""

    def interrupt(self) -> None:
        """Does nothing."""

    def leave(self, error: BaseException | None) -> bool:
        """Returns that `error` is not from here."""
        del error
        return False
