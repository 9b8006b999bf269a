"""The recipes in examples/recipes for Python, as their users run them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps import App, check_program, running, uvicorn
from conftest import ROOT, Server
from fake_models import FakeModel, Step, chat, fake_model, messages, text_block
from interfaces import DEADLINE, wait_until

from tinistreamer import Client, Reason, subscribe

FOLDER = ROOT / "examples" / "recipes"
TEXTS = ["Grüße", " 🦀", "\n\n", "x"]
DJANGO = ["django_app.py", "runserver", "--noreload", "127.0.0.1:{port}"]


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with fake_model() as model:
        yield model


def check_text(app: App, model: FakeModel, steps: list[Step], **headers: str) -> None:
    """The answer is whole, byte for byte."""
    model.steps = steps
    with subscribe(access=app.ask(**headers)) as events:
        assert [event.data for event in events if event.event == "token"] == TEXTS
        assert events.status == "ended"


def check_stop(app: App, model: FakeModel, steps: list[Step], **headers: str) -> str | None:
    """A stop ends the model. Returns who has stopped it."""
    model.steps = steps
    with subscribe(access=app.ask(**headers)) as events:
        for event in events:
            if event.data == TEXTS[0]:
                events.request_stop()
        assert events.status == "cancelled"
    wait_until(lambda: len(model.left) == 1)
    return events.reason.by if events.reason else None


def check_reload(app: App) -> None:
    """The access of a page that comes back, and of one that has no answer."""
    access = app.ask()
    assert app.get(f"/answers/{access['key']}").json()["key"] == access["key"]
    assert app.get("/answers/answer-none").status_code == 404


def test_fastapi(server: Server, model: FakeModel, tmp_path: Path) -> None:
    user = {"X-User": "ada"}
    with running(uvicorn("fastapi_app:app"), FOLDER, tmp_path / "log", server, model) as app:
        check_text(app, model, messages(*text_block(0, *TEXTS)), **user)
        by = check_stop(app, model, messages(*text_block(0, TEXTS[0], "wait")), **user)
        assert by == "ada"
        model.steps = [429]
        with subscribe(access=app.ask(**user)) as events:
            question = next(event for event in events if event.event == "question")
            assert question.json() == {"text": "why", "by": "ada"}
            events.collect()
        assert events.reason == Reason(code="model-busy", message="The model is busy")
        assert app.post("/answers", question="why").status_code == 422


def test_langchain(server: Server, model: FakeModel, tmp_path: Path) -> None:
    with running(uvicorn("langchain_app:app"), FOLDER, tmp_path / "log", server, model) as app:
        check_text(app, model, chat(*TEXTS))
        assert "Answer in one sentence: why" in json.dumps(model.asked[0][1])
        check_stop(app, model, chat(TEXTS[0], "wait"))
        check_reload(app)


def test_django(server: Server, client: Client, model: FakeModel, tmp_path: Path) -> None:
    with running(DJANGO, FOLDER, tmp_path / "log", server, model) as app:
        check_text(app, model, chat(*TEXTS))
        check_stop(app, model, chat(TEXTS[0], "wait"))
        check_reload(app)
        # The process ends although the model hangs, and the page learns of it.
        key = app.ask()["key"]
        wait_until(lambda: len(client.stream_events(key)) == 2)
        app.process.send_signal(signal.SIGINT)
        app.process.wait(DEADLINE)
        last = client.stream_events(key)[-1]
        assert last.event == "fail"
        assert json.loads(last.data or "")["code"] == "interrupted"


@pytest.mark.parametrize("name", ["fastapi_app", "django_app", "langchain_app"])
def test_the_recipes_are_short_and_formatted(name: str) -> None:
    check_program(FOLDER / f"{name}.py", 30)
