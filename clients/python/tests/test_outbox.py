"""How a writer sends, acknowledges and repeats events, and finishes its stream. No I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tinistreamer import ApiError, InvalidEvent, PublishError, Unreachable, WriterClosed
from tinistreamer._events import encode
from tinistreamer._failure import Failure
from tinistreamer._finish import Ending, cancelled, ended, failed, finish_stream
from tinistreamer._generated.models import Finished, StreamState, UploadSummary
from tinistreamer._generated.types import Operation
from tinistreamer._outbox import Outbox, closed_by
from tinistreamer._retry import Retry
from tinistreamer._writer_options import WriterOptions

BROKEN = Unreachable("broken")
NOT_ACTIVE = ApiError(404, "no-active-stream", 'No active stream at the key "k"')
FAILED = ApiError(404, "no-active-stream", "The stream is failed", stream_status="failed")
ENDED = ApiError(404, "no-active-stream", "The stream is ended", stream_status="ended")
END, CANCEL = ended("k", None), cancelled("k", None, None, None)
FAIL = failed("k", None, Failure())


def outbox(*, max_pending: int = 1000, retry_for: float = 60.0) -> Outbox:
    return Outbox(
        WriterOptions("k", "ndjson", max_pending, retry_for, None), timeout=10.0, clock=lambda: 0.0
    )


def summary(written: int, duplicates: int = 0, **fields: Any) -> UploadSummary:
    known: dict[str, Any] = {"ids": [], "errors": [], "num_errors": 0, "last_id": None}
    return UploadSummary.from_dict(
        {**known, "num_events": written, "num_duplicates": duplicates, **fields}
    )


class Sending(RuleBasedStateMachine):
    """A broker that stores any part of an upload, and may lose its response."""

    @initialize()
    def begin(self) -> None:
        self.outbox = outbox()
        self.written: list[str] = []
        self.stored: list[str] = []
        self.in_flight: list[str] = []
        self.lost = 0

    @rule()
    def write(self) -> None:
        line = str(len(self.written))
        self.written.append(line)
        self.outbox.put(line)

    @precondition(lambda self: self.outbox.unsent)
    @rule(share=st.floats(0, 1), response_is_lost=st.booleans())
    def upload(self, share: float, response_is_lost: bool) -> None:
        request = self.outbox.take_upload()
        assert request.params is not None
        assert request.content is not None
        sequence = request.params["sequence"]
        assert isinstance(sequence, int)
        lines = request.content.decode().splitlines()
        known = len(self.stored) - sequence
        assert 0 <= known <= len(lines) or known > len(lines)
        if response_is_lost:
            arrived = lines[: round(len(lines) * share)]
            self.stored += arrived[known:]
            self.outbox.broken(BROKEN)
            return
        self.stored += lines[known:]
        self.outbox.uploaded(summary(len(lines) - known, known))

    @invariant()
    def nothing_is_lost_repeated_or_out_of_order(self) -> None:
        assert self.stored == self.written[: len(self.stored)]
        assert self.outbox.acknowledged <= len(self.stored)
        assert self.outbox.acknowledged + self.outbox.pending == len(self.written)

    def teardown(self) -> None:
        if hasattr(self, "outbox") and self.outbox.pending:
            self.upload(1.0, False)
            assert self.stored == self.written
            assert self.outbox.pending == 0


TestSending = Sending.TestCase
TestSending.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)


@given(st.integers(1, 20), st.integers(0, 20))
def test_over_a_websocket_events_without_a_reply_are_sent_again(sent: int, answered: int) -> None:
    subject = outbox()
    for number in range(sent):
        subject.put(str(number))
    assert subject.take() == [str(number) for number in range(sent)]
    assert subject.take() == []
    answered = min(answered, sent)
    for number in range(answered):
        ack = subject.replied(json.dumps({"type": "success", "id": f"5-{number}"}))
        assert (ack.count, ack.last_id) == (number + 1, f"5-{number}")
    subject.broken(BROKEN)
    assert subject.parameters["sequence"] == answered
    assert subject.take() == [str(number) for number in range(answered, sent)]


def test_a_duplicate_is_stored_but_its_id_is_unknown() -> None:
    subject = outbox()
    subject.put("a")
    subject.take()
    ack = subject.replied('{"type":"success","id":null,"duplicate":true}')
    assert (ack.count, ack.last_id) == (1, None)


def test_an_event_that_the_broker_refuses_is_final_and_the_others_count() -> None:
    subject = outbox()
    for line in "abc":
        subject.put(line)
    subject.take_upload()
    with pytest.raises(ApiError) as raised:
        subject.uploaded(summary(2, errors=["line 2: too long"], num_errors=1))
    assert raised.value.code == "invalid-event"
    assert subject.acknowledged == 2


def test_a_confirmation_of_fewer_events_than_sent_is_an_error() -> None:
    subject = outbox()
    subject.put("a")
    subject.take_upload()
    with pytest.raises(ApiError) as raised:
        subject.uploaded(summary(0))
    assert raised.value.code == "unexpected-answer"


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("sequence-gap", True),
        ("too-large", True),
        ("no-active-stream", True),
        ("store-unavailable", False),
    ],
)
def test_the_code_of_an_error_reply_decides_whether_it_is_final(code: str, final: bool) -> None:
    subject = outbox()
    subject.put("a")
    subject.take()
    with pytest.raises(ApiError) as raised:
        subject.replied(json.dumps({"type": "error", "code": code, "message": "why"}))
    if final:
        with pytest.raises(ApiError):
            subject.broken(raised.value)
    else:
        assert subject.broken(raised.value) > 0


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"type":"success"}', '{"type":"error"}'])
def test_a_reply_of_another_form_is_final(answer: str) -> None:
    subject = outbox()
    subject.put("a")
    subject.take()
    with pytest.raises(ApiError) as raised:
        subject.replied(answer)
    assert raised.value.code == "unexpected-answer"


def test_a_close_code_says_whether_the_stream_is_finished() -> None:
    assert closed_by(1011, "ended").code == "no-active-stream"
    assert closed_by(1009, "").code == "too-large"
    for code in (None, 1000, 1001, 1012, 1013):
        assert isinstance(closed_by(code, ""), Unreachable)


def test_delays_double_up_to_five_seconds_until_the_broker_confirms() -> None:
    retry = Retry(1000.0, clock=lambda: 0.0)
    for whole in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]:
        assert whole / 2 <= retry.after(BROKEN) <= whole
    retry.restart()
    assert retry.after(BROKEN) <= 0.1


def test_attempts_end_after_retry_for_and_respect_retry_after() -> None:
    now = 0.0
    retry = Retry(10.0, clock=lambda: now)
    assert retry.after(ApiError(429, "too-many", "", 7.0)) == 7.0
    now = 9.95
    assert retry.after(BROKEN) <= 0.05 + 1e-9
    with pytest.raises(ApiError):
        retry.after(ApiError(503, "store-unavailable", "", 1.0))
    now = 10.0
    with pytest.raises(Unreachable):
        retry.after(BROKEN)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413])
def test_other_errors_are_not_retried(status: int) -> None:
    with pytest.raises(ApiError):
        Retry(60.0).after(ApiError(status, "a-code", ""))


def test_a_full_outbox_makes_writers_wait_and_an_ended_one_refuses_events() -> None:
    subject = outbox(max_pending=1)
    subject.put("a")
    assert subject.is_full
    subject.ended = True
    with pytest.raises(WriterClosed):
        subject.put("b")


def test_a_failure_has_the_number_of_confirmed_events() -> None:
    subject = outbox()
    subject.put("a")
    subject.take_upload()
    subject.uploaded(summary(1))
    subject.fail(NOT_ACTIVE)
    with pytest.raises(PublishError) as raised:
        subject.put("b")
    assert (raised.value.code, raised.value.acknowledged, raised.value.__cause__) == (
        "no-active-stream",
        1,
        NOT_ACTIVE,
    )


def state(status: str) -> StreamState:
    return StreamState(
        key="k",
        status=status,
        clients=0,
        length=1,
        ttl=1,
        first_id="5-0",
        last_id="5-1",
        created_at="",
    )


def test_a_stream_that_an_attempt_with_a_lost_response_finished_is_finished() -> None:
    steps = finish_stream("k", END, retry_for=60.0)
    assert isinstance(steps.send(None), Operation)
    assert isinstance(steps.send(BROKEN), float)
    assert isinstance(steps.send(None), Operation)
    look = steps.send(NOT_ACTIVE)
    assert isinstance(look, Operation)
    assert look.path == "/api/stream/info"
    with pytest.raises(StopIteration):
        steps.send(state("ended"))


@pytest.mark.parametrize("status", ["cancelled", "active"])
def test_a_stream_that_was_finished_in_another_way_is_an_error(status: str) -> None:
    steps = finish_stream("k", END, retry_for=60.0)
    steps.send(None)
    steps.send(BROKEN)
    steps.send(None)
    steps.send(NOT_ACTIVE)
    with pytest.raises(ApiError):
        steps.send(state(status))


def test_after_a_lost_response_the_error_itself_says_how_the_stream_was_finished() -> None:
    for error in (ENDED, FAILED):
        steps = finish_stream("k", END, retry_for=60.0)
        steps.send(None)
        steps.send(BROKEN)
        steps.send(None)
        with pytest.raises(StopIteration if error is ENDED else ApiError):
            steps.send(error)


@pytest.mark.parametrize("error", [NOT_ACTIVE, FAILED, ENDED])
def test_to_end_an_inactive_stream_at_the_first_attempt_is_an_error(error: ApiError) -> None:
    steps = finish_stream("k", END, retry_for=60.0)
    steps.send(None)
    with pytest.raises(ApiError):
        steps.send(error)


@pytest.mark.parametrize("error", [FAILED, ENDED])
@pytest.mark.parametrize("ending", [CANCEL, FAIL])
def test_to_cancel_or_fail_a_finished_stream_is_a_success(ending: Ending, error: ApiError) -> None:
    steps = finish_stream("k", ending, retry_for=60.0)
    steps.send(None)
    with pytest.raises(StopIteration):
        steps.send(error)


@pytest.mark.parametrize(("status", "is_finished"), [("failed", True), ("active", False)])
def test_an_older_broker_is_asked_whether_the_stream_is_finished(
    status: str, is_finished: bool
) -> None:
    steps = finish_stream("k", CANCEL, retry_for=60.0)
    steps.send(None)
    assert isinstance(steps.send(NOT_ACTIVE), Operation)
    with pytest.raises(StopIteration if is_finished else ApiError):
        steps.send(state(status))


def test_to_cancel_a_stream_that_does_not_exist_is_an_error() -> None:
    steps = finish_stream("k", CANCEL, retry_for=60.0)
    steps.send(None)
    steps.send(NOT_ACTIVE)
    with pytest.raises(ApiError) as raised:
        steps.send(ApiError(404, "stream-not-found", ""))
    assert raised.value.code == "no-active-stream"


def test_a_stream_is_finished_when_the_broker_confirms_it() -> None:
    steps = finish_stream("k", CANCEL, retry_for=60.0)
    request = steps.send(None)
    assert isinstance(request, Operation)
    assert (request.path, request.body) == ("/api/stream/cancel", {"key": "k"})
    with pytest.raises(StopIteration):
        steps.send(Finished(status="cancelled"))


def test_a_generation_is_part_of_all_requests_of_a_writer() -> None:
    options = WriterOptions("k", "ndjson", 1, 60.0, None, generation="a" * 32)
    subject = Outbox(options, timeout=10.0)
    subject.put("1")
    assert (subject.take_upload().params or {})["generation"] == "a" * 32
    assert "generation" not in outbox().parameters
    request = finish_stream("k", ended("k", "a" * 32), 60.0).send(None)
    assert isinstance(request, Operation)
    assert request.body == {"key": "k", "generation": "a" * 32}


@pytest.mark.parametrize(
    "name", ["start", "end", "cancel", "fail", "abandon", "error", "missedevents"]
)
def test_the_brokers_own_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidEvent) as raised:
        encode(name, None)
    assert raised.value.code == "reserved-event"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("", None),
        ("é" * 65, None),
        ("a\nb", None),
        ("a\x85", None),
        ("\ud800", None),
        ("x", float("nan")),
        ("x", {1, 2}),
    ],
)
def test_events_that_the_broker_would_refuse_are_refused(name: str, data: Any) -> None:
    with pytest.raises(InvalidEvent) as raised:
        encode(name, data)
    assert raised.value.code == "invalid-event"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3
        )
    ),
    max_leaves=5,
)


@given(json_values)
def test_any_data_is_encoded_as_one_line_and_decodes_again(data: Any) -> None:
    line = encode("token", data)
    assert not set("\r\n") & set(line)
    assert json.loads(line).get("data") == data
