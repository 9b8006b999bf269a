"""Values as JSON text: plain ones, pydantic models and dataclasses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, cast

from ._surrogates import well_formed


def to_json(value: object) -> str:
    """Returns the value as JSON text on one line.

    A lone surrogate becomes U+FFFD. Raises `ValueError` or `TypeError` for what JSON can't hold.
    """
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain
    )
    return well_formed(text)


def _plain(value: object) -> object:
    """Returns the value as JSON knows it. `json` calls this for all that it does not know."""
    # Known by its methods: this package does not need pydantic.
    if not isinstance(value, type):
        if hasattr(value, "model_dump_json"):
            dump = cast("Callable[..., object]", cast("Any", value).model_dump)
            return dump(mode="json")
        if is_dataclass(value):
            return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON value, pydantic model or dataclass")
