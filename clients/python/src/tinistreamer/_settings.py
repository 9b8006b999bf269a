"""The broker's address and API key, from arguments or from the environment."""

from __future__ import annotations

import os

_URL = ("TINISTREAMER_URL", "STREAMER_URL")
# `tinistreamer dev` prints the second one.
_API_KEY = ("TINISTREAMER_API_KEY", "STREAMER_API_KEY")


def broker_settings(url: str | None, api_key: str | None) -> tuple[str, str]:
    """Returns the broker's URL and API key. Raises `ValueError` when one is missing."""
    return (
        url or _from_environment("url", "The broker's URL", _URL),
        api_key or _from_environment("api_key", "The API key", _API_KEY),
    )


def _from_environment(argument: str, what: str, names: tuple[str, ...]) -> str:
    for name in names:
        if value := os.environ.get(name):
            return value
    raise ValueError(f"{what} is missing: set {names[0]}, or pass {argument}")
