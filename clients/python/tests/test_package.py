"""The package as users install it."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import trove_classifiers
from conftest import Server

HERE = Path(__file__).resolve().parents[1]
README = (HERE / "README.md").read_text()
QUICK_START = README.partition("\n## Quick start\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```python\n(.*?)```", QUICK_START, re.DOTALL)


def run(*command: str | Path, cwd: Path = HERE, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(folder: Path) -> Path:
    """Installs the wheel into a new environment, and returns its Python."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist")
    assert len(list((folder / "dist").glob("*.tar.gz"))) == 1
    (wheel,) = (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def test_the_generated_code_is_not_stale() -> None:
    run(sys.executable, HERE / "scripts" / "generate", "--check")


def test_the_synchronous_half_is_not_stale() -> None:
    run(sys.executable, HERE / "scripts" / "unasync", "--check")


def test_the_wheel_is_typed_and_runs_the_quick_start_as_printed(
    server: Server, tmp_path: Path
) -> None:
    python = install(tmp_path)
    program = (
        "import pathlib, tinistreamer; "
        "print(pathlib.Path(tinistreamer.__file__).with_name('py.typed').exists())"
    )
    assert run(python, "-c", program, cwd=tmp_path) == "True\n"
    assert len(BLOCKS) == 4
    printed: list[str] = []
    for block in BLOCKS:
        example = tmp_path / "quick_start.py"
        example.write_text(block.replace("http://127.0.0.1:8000", server.url))
        printed.append(
            run(python, "-W", "error", example, cwd=tmp_path, STREAMER_API_KEY=server.api_key)
        )
    words = ["token Hello", "token  from", "token  a", "token  stream"]
    assert printed[0].startswith(f"{server.url}/api/client/sse?key=hello ")
    assert re.sub(r"(?m)^\S+ ", "", printed[2]).splitlines() == ["start ", *words, "end ", "ended"]
    assert printed[3].splitlines() == ["start ", *words, "end "]


def test_without_the_extra_the_error_says_how_to_install_it() -> None:
    program = (
        "import sys; sys.modules['websockets'] = None; import tinistreamer; "
        "tinistreamer.subscribe('ws://h/api/client/ws', 't')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "tinistreamer[websocket]" in done.stderr.splitlines()[-1]


def test_no_framework_and_no_sdk_is_needed_to_import_the_package() -> None:
    absent = ("openai", "anthropic", "langchain_core", "starlette", "fastapi", "django")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "import tinistreamer, tinistreamer.openai, tinistreamer.anthropic, tinistreamer.langchain\n"
        "for name in ('starlette', 'fastapi', 'django'):\n"
        "    try:\n"
        "        __import__(f'tinistreamer.{name}')\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)"
    )
    assert run(sys.executable, "-c", program).splitlines() == [
        "Starlette needs an extra: pip install 'tinistreamer[starlette]'",
        # FastAPI contains Starlette.
        "FastAPI needs an extra: pip install 'tinistreamer[fastapi]'",
        "Django needs an extra: pip install 'tinistreamer[django]'",
    ]


def test_the_metadata_that_pypi_shows(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert len(metadata["Summary"]) < 200
    assert set(metadata.get_all("Classifier", [])) <= trove_classifiers.classifiers
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert set(urls) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    extras = {"websocket", "broker", "starlette", "fastapi", "django"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
