"""Helpers for the tests of applications: a real broker, and a line to it that tests can cut.

pytest has the fixture `tinistreamer_broker` as soon as this package is installed.
"""

from tinistreamer.testing._broker import TestBroker, start_broker
from tinistreamer.testing._line import Line

__all__ = ["Line", "TestBroker", "start_broker"]
