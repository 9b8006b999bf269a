"""The text form of cursors."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinistreamer import _cursor
from tinistreamer._cursor import Position

keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8) | st.text(
    ":,~!%a", min_size=1, max_size=4
)
ids = st.builds("{}-{}".format, st.integers(0, 2**53), st.integers(0, 2**53))
positions = st.builds(Position, ids, st.booleans()) | st.just(Position(None))


@given(
    st.dictionaries(keys, positions, min_size=1),
    st.lists(st.from_regex(r"~[A-Za-z0-9_-]+", fullmatch=True), max_size=2),
)
def test_a_cursor_with_any_keys_is_parsed_as_it_was_written(
    known: dict[str, Position], rest: list[str]
) -> None:
    cursor = _cursor.join(known, rest)
    assert cursor is not None
    assert cursor.isascii()
    assert _cursor.parse(cursor) == (known, rest)


@given(keys, positions, st.sampled_from(["", ",b:5-1", ",~AQ", ",b:5-1!,~AQ"]))
def test_the_first_item_names_the_stream_of_a_frame(
    key: str, position: Position, others: str
) -> None:
    assert _cursor.head(_cursor.item(key, position) + others) == (key, position)


def test_a_key_never_looks_like_an_opaque_item() -> None:
    assert _cursor.item("~a", Position("5-1")) == "%7Ea:5-1"


def test_the_documented_forms_are_parsed() -> None:
    assert _cursor.parse("a%20b:5-3,c:,d:6-1!,~AbC_-") == (
        {"a b": Position("5-3"), "c": Position(None), "d": Position("6-1", is_last=True)},
        ["~AbC_-"],
    )
    assert _cursor.head("c:,~AbC") == ("c", Position(None))


@pytest.mark.parametrize("item", ["5-3", "~AbC", "a:5", "a:5-3!!", ":5-3", "", "a"])
def test_opaque_items_are_left_to_the_broker(item: str) -> None:
    assert _cursor.parse(item) == ({}, [item])
    assert _cursor.head(item) is None


@given(keys, st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_an_invalid_id_does_not_split_the_list(key: str, event_id: str) -> None:
    written = _cursor.item(key, Position(event_id))
    assert "," not in written
    assert written.isprintable()
    assert unquote(written.partition(":")[2]) == event_id
