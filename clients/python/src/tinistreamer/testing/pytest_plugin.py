"""The fixture `tinistreamer_broker` for pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinistreamer.testing import TestBroker


@pytest.fixture
def tinistreamer_broker() -> Iterator[TestBroker]:
    """A broker of its own for each test, which stops it at its end."""
    # pytest loads this file in every project in which this package is installed.
    from tinistreamer.testing import start_broker  # noqa: PLC0415

    with start_broker() as broker:
        yield broker
