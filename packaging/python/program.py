"""Puts the broker's program into the wheel. `scripts/package-broker` sets the variables."""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProgramHook(BuildHookInterface):
    """Adds the program, which pip installs beside Python's own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        program, tag = os.environ["BROKER_PROGRAM"], os.environ["BROKER_TAG"]
        name = "tinistreamer.exe" if program.endswith(".exe") else "tinistreamer"
        build_data["shared_scripts"] = {program: name}
        build_data["tag"] = f"py3-none-{tag}"
        build_data["pure_python"] = False
