"""Comparison of generated folders."""

from __future__ import annotations

import filecmp
from pathlib import Path


def differences(left: Path, right: Path) -> list[str]:
    """Returns the names of the Python files that are not the same in both folders."""

    def names(root: Path) -> set[str]:
        return {str(path.relative_to(root)) for path in root.rglob("*.py")}

    def is_same(name: str) -> bool:
        one, other = left / name, right / name
        return one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)

    return sorted(name for name in names(left) | names(right) if not is_same(name))
