"""The helpers for the tests of applications, with a real broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import PROGRAM

from tinistreamer import ApiError, subscribe
from tinistreamer.testing import TestBroker, start_broker


@pytest.fixture
def broker() -> Iterator[TestBroker]:
    with start_broker(program=PROGRAM) as broker:
        yield broker


def test_a_broker_streams_a_word_over_its_line(broker: TestBroker) -> None:
    access = broker.client.create_stream("hello")
    assert access.sse_url.startswith(f"http://127.0.0.1:{broker.line.port}/")
    with broker.client.publish("hello") as stream:
        stream.write("token", "word")
    events = subscribe(access.sse_url, access.token)
    assert [event.data for event in events if event.event == "token"] == ["word"]


def test_a_subscription_goes_on_after_cuts(broker: TestBroker) -> None:
    access = broker.client.create_stream("chat")
    data: list[str] = []
    with broker.client.publish("chat") as stream:
        for event in subscribe(access.sse_url, access.token):
            if event.event == "start":
                stream.write("token", "0")
            if event.event != "token":
                continue
            data.append(event.data)
            if len(data) == 1:
                broker.line.cut()
            if len(data) == 2:
                broker.line.unplug()
                with pytest.raises(httpx.TransportError):
                    httpx.get(f"{broker.url}/api/health")
                threading.Timer(0.2, broker.line.plug).start()
            if len(data) == 4:
                break
            stream.write("token", str(len(data)))
    assert data == ["0", "1", "2", "3"]


def test_a_lease_runs_out(broker: TestBroker) -> None:
    access = broker.client.create_stream("chat", lease=60)
    broker.let_lease_run_out("chat")
    events = [event.event for event in subscribe(access.sse_url, access.token)]
    assert events == ["start", "abandon"]
    with pytest.raises(ApiError, match="no-active-stream"):
        broker.let_lease_run_out("chat")
    assert httpx.get(f"{broker.url}/api/health").status_code == 200


def test_settings_apply_and_faults_are_in_the_error() -> None:
    settings = {"STREAMER_API_KEY": "a-key-for-this-test"}
    with start_broker(settings, program=PROGRAM) as broker:
        assert broker.api_key == "a-key-for-this-test"
        broker.client.create_stream("chat")
    with pytest.raises(RuntimeError, match='STREAMER_TTL holds "never"'):
        start_broker({"STREAMER_TTL": "never"}, program=PROGRAM)
    with pytest.raises(FileNotFoundError):
        start_broker(program="/no/such/program")


def test_a_stopped_broker_is_gone(broker: TestBroker) -> None:
    broker.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{broker.url}/api/health")


def test_without_a_program_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINISTREAMER_BIN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match=r"tinistreamer\[broker\]"):
        start_broker()


def test_pytest_has_the_fixture(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("tinistreamer")


def test_an_env_file_of_the_application_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("STREAMER_API_KEY=another-key\nSTREAMER_TTL=never\n")
    monkeypatch.chdir(tmp_path)
    with start_broker(program=PROGRAM) as broker:
        assert broker.api_key != "another-key"
