"""Decoding of server-sent events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinistreamer._frames import Frame
from tinistreamer._sse import SseDecoder

# Characters that look like line ends and are none, and line ends.
texts = st.text(
    st.sampled_from("ab: \u2028\u2029\u0085\x0b\x0c\x1c\x00é🦊\ufeff"), max_size=12
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
names = texts.filter(bool)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Frame], bytes]:
    """Frames, and an encoding of them with any line ends and with heartbeats between them."""
    frames: list[Frame] = []
    written = ""
    end = st.sampled_from(["\n", "\r", "\r\n"])
    for number in range(draw(st.integers(0, 4))):
        lines = draw(st.lists(texts, min_size=1, max_size=3))
        frames.append(Frame(f"5-{number}", draw(names), "\n".join(lines)))
        fields = [
            f"id: 5-{number}",
            f"event: {frames[-1].event}",
            *(f"data: {line}" for line in lines),
            "",
            ":",
            "",
        ]
        for field in fields:
            chosen = draw(end)
            # A LF right after a CR would be the same line end.
            written += field + (
                "\r\n" if not field and written.endswith("\r") and chosen == "\n" else chosen
            )
    return frames, written.encode()


def chunks(data: st.DataObject, whole: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@given(streams(), st.data())
def test_frames_survive_any_cutting_and_any_line_ends(
    stream: tuple[list[Frame], bytes], data: st.DataObject
) -> None:
    frames, written = stream
    decoder = SseDecoder()
    decoded = [frame for chunk in chunks(data, written) for frame in decoder.feed(chunk)]
    assert decoded == frames


def test_an_event_that_may_be_the_last_has_the_status_that_the_stream_then_has() -> None:
    written = b"".join(b"event: %s\ndata\n\n" % name for name in (b"fail", b"abandon", b"end"))
    assert [frame.status_if_last for frame in SseDecoder().feed(written)] == [
        "failed",
        "abandoned",
        None,
    ]


@given(streams())
def test_single_bytes_decode_as_the_whole_does(stream: tuple[list[Frame], bytes]) -> None:
    frames, written = stream
    decoder = SseDecoder()
    assert [frame for byte in written for frame in decoder.feed(bytes([byte]))] == frames


def test_a_heartbeat_is_not_an_event_even_after_an_id() -> None:
    decoder = SseDecoder()
    assert list(decoder.feed(b"id: 5-0\nevent: start\ndata:\n\n:\n\n:\n\n")) == [
        Frame("5-0", "start", "")
    ]


def test_an_id_alone_is_a_position_and_not_an_event() -> None:
    decoder = SseDecoder()
    assert list(decoder.feed(b"id: a:5-3,~AQ\n\n:\n\nevent: x\n\n")) == [Frame("a:5-3,~AQ", None)]


def test_a_frame_is_complete_at_its_carriage_return() -> None:
    decoder = SseDecoder()
    assert list(decoder.feed(b"id: 5-0\revent: x\rdata: y\r\r")) == [Frame("5-0", "x", "y")]
    assert list(decoder.feed(b"\nid: 5-1\ndata: z\n\n")) == [Frame("5-1", "message", "z")]


def test_an_id_belongs_to_its_own_frame() -> None:
    decoder = SseDecoder()
    frames = list(decoder.feed(b"id: 5-0\nevent: a\ndata:\n\nevent: missedevents\ndata: {}\n\n"))
    assert [frame.id for frame in frames] == ["5-0", None]


def test_retry_is_parsed_as_milliseconds_and_only_from_digits() -> None:
    decoder = SseDecoder()
    assert list(decoder.feed(b"retry: 2500\n")) == []
    assert decoder.retry == 2.5
    assert list(decoder.feed("retry: +1\nretry: 1_0\nretry: ٣\nretry:\n".encode())) == []
    assert decoder.retry == 2.5


def test_an_incomplete_event_is_not_yielded() -> None:
    assert list(SseDecoder().feed(b"id: 5-0\nevent: x\ndata: half")) == []


def test_a_byte_order_mark_is_skipped_only_at_the_start() -> None:
    decoder = SseDecoder()
    assert list(decoder.feed("\ufeffdata: \ufeffx\n\n".encode())) == [
        Frame(None, "message", "\ufeffx")
    ]
