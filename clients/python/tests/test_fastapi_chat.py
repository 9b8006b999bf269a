"""The chat in examples/fastapi-chat, as its users run it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps import App, check_program, running, uvicorn
from conftest import ROOT, Server
from fake_models import SECRET, FakeModel, chat, fake_model
from interfaces import DEADLINE, wait_until

from tinistreamer import Client, Reason, subscribe

FOLDER = ROOT / "examples" / "fastapi-chat"
WORDS = ["Grüße", " an", " 🦀", "\n\n", "und\u2028 alle", ' "quoted" \\ ', "data: x\n\n"]
PATH = "/v1/chat/completions"


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


def check_answer_and_reload(app: App, model: FakeModel) -> None:
    """The answer is whole byte for byte, also for a page that comes in mid-answer, and later."""
    model.steps = chat(*WORDS[:3], "wait", *WORDS[3:])
    access = app.ask()
    texts: list[str] = []
    with subscribe(access=access) as events:
        for event in events:
            if event.event == "token":
                texts.append(event.data)
            if len(texts) == 3 and not model.go.is_set():
                reloaded = app.get(f"/answers/{access['key']}").json()
                assert reloaded["key"] == access["key"]
                with subscribe(access=reloaded) as again:
                    assert [next(again).data for _ in range(4)] == ["", *WORDS[:3]]
                model.go.set()
        assert events.status == "ended"
    assert texts == WORDS
    with subscribe(access=app.get(f"/answers/{access['key']}").json()) as events:
        assert events.text() == "".join(WORDS)
    assert model.asked[0][1]["messages"] == [{"role": "user", "content": "why"}]


def check_stop(app: App, model: FakeModel) -> None:
    """A stop ends the model, and the page keeps the text so far."""
    model.go.clear()
    model.steps = chat("half", "wait", "never")
    access = app.ask()
    with subscribe(access=access) as events:
        for event in events:
            if event.data == "half":
                events.request_stop()
        assert events.status == "cancelled"
    wait_until(lambda: model.left == [PATH])


def check_failure(app: App, model: FakeModel) -> None:
    """A model's error fails the stream and reveals nothing to the page."""
    model.steps = chat("half", {"role": "assistant"}, "cut", finish=None)
    with subscribe(access=app.ask()) as events:
        events.collect()
    assert (events.status, events.reason) == (
        "failed",
        Reason(code="error", message="The producer failed"),
    )
    model.steps = [401]
    with subscribe(access=app.ask()) as events:
        assert SECRET not in str(events.collect())
    assert events.status == "failed"


def check_pages(app: App) -> None:
    """The page beside the program, and the errors of the backend."""
    assert app.get("/").text == (FOLDER / "page.html").read_text(encoding="utf-8")
    assert app.get("/answers/answer-none").status_code == 404
    # A request must not choose who it is.
    assert "subject" not in app.get("/openapi.json").text
    assert app.post("/answers").status_code == 422


def check_the_end(app: App, model: FakeModel, client: Client) -> None:
    """The server stops although a model hangs, and the page learns of it."""
    model.go.clear()
    model.steps = chat("half", "wait")
    key = app.ask()["key"]
    wait_until(lambda: len(client.stream_events(key)) == 2)
    app.process.send_signal(signal.SIGTERM)
    app.process.wait(DEADLINE)
    last = client.stream_events(key)[-1]
    assert (last.event, last.data) == (
        "fail",
        '{"code":"interrupted","message":"The producer was interrupted"}',
    )


def test_the_chat(server: Server, client: Client, model: FakeModel, tmp_path: Path) -> None:
    with running(uvicorn("app:app"), FOLDER, tmp_path / "log", server, model) as app:
        check_answer_and_reload(app, model)
        check_stop(app, model)
        check_failure(app, model)
        check_pages(app)
        check_the_end(app, model, client)
        assert "Traceback" not in app.log.rpartition("Waiting for application shutdown")[2]


def test_a_killed_backend(server: Server, model: FakeModel, tmp_path: Path) -> None:
    program = (FOLDER / "app.py").read_text(encoding="utf-8")
    assert "Answers()" in program
    (tmp_path / "app.py").write_text(program.replace("Answers()", "Answers(lease=2)"))
    model.steps = chat("half", "wait")
    with running(uvicorn("app:app"), tmp_path, tmp_path / "log", server, model) as app:
        with subscribe(access=app.ask()) as events:
            for event in events:
                if event.data == "half":
                    os.kill(app.process.pid, signal.SIGKILL)
        assert events.status == "abandoned"


def test_the_program_is_short_and_formatted() -> None:
    check_program(FOLDER / "app.py", 20)
