"""Lengths of lines and files, and retired words."""

import re
import subprocess
from functools import cache
from pathlib import Path

from .words import EXEMPT, RETIRED, SCOPE

MAX_LINES = 400
MAX_COLUMNS = 100
# A line is as long as its longest word needs: a URL, a regular expression, a key.
MAX_WORD = 80
# No formatter breaks a string or a template of JavaScript, such as a sample text.
SCRIPT = re.compile(r"\.(?:ts|tsx|js|mjs|cjs)$")
LITERAL = re.compile(r"""(["'`/])(?:(?!\1).){50,}\1|^\s*`.*`,?$""")
# Shell commands and sample texts that a page shows as they are.
SHOWN = {"api/console/www/js/many.js", "api/console/www/js/sample.js"}
# Templates of a page, in which white space counts.
TEMPLATE = re.compile(r"\bhtml`.{50,}`")

CODE = re.compile(r"\.(?:rs|py|ts|tsx|js|mjs|cjs|lua)$")
# What nobody writes by hand, or what must not change.
FOREIGN = re.compile(
    r"(?:^|/)(?:vendor|node_modules|_?generated|recorded|results)/"
    r"|(?:^|/)(?:generated\.rs|package-lock\.json|Cargo\.lock)$"
    r"|\.(?:png|jpg|ico|woff2|lock|min\.js)$"
)
GENERATED = re.compile(r"@generated|\b[Gg]enerated (?:by|from)\b")
# The words themselves are in these files.
OWN = re.compile(r"^scripts/(?:check-structure$|structure/)")


class Files:
    """The files of a repository: their paths from its root, and their text."""

    def __init__(self, root: Path, paths: list[str]) -> None:
        self.root = root
        self.paths = [path for path in paths if not FOREIGN.search(path)]
        self.read = cache(self._read)

    @classmethod
    def of_repository(cls, root: Path) -> "Files":
        """Every file that is committed, or that a commit would add."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
        paths = sorted(set(listed.stdout.split("\0")) - {""})
        return cls(root, [path for path in paths if (root / path).is_file()])

    def under(self, folder: str) -> list[str]:
        return [path for path in self.paths if path.startswith(f"{folder}/")]

    def has(self, path: str) -> bool:
        return path in self.paths or (self.root / path).is_file()

    def _read(self, path: str) -> str:
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return ""


def is_code(path: str, text: str) -> bool:
    is_script = text.startswith("#!") and "python" in text.partition("\n")[0]
    return bool(CODE.search(path)) or is_script


def is_generated(text: str) -> bool:
    return bool(GENERATED.search("\n".join(text.split("\n", 5)[:5])))


def is_unbreakable(path: str, line: str) -> bool:
    if max(map(len, line.split())) > MAX_WORD or path in SHOWN:
        return True
    return bool(SCRIPT.search(path) and (LITERAL.search(line) or TEMPLATE.search(line)))


def lengths(files: Files) -> list[str]:
    """Files and lines of code that are too long."""
    findings = []
    for path in files.paths:
        text = files.read(path)
        if not is_code(path, text) or is_generated(text):
            continue
        lines = text.splitlines()
        if len(lines) > MAX_LINES:
            findings.append(f"{path} has {len(lines)} lines, more than {MAX_LINES}")
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS and not is_unbreakable(path, line):
                findings.append(f"{path}:{number} has {len(line)} columns, more than {MAX_COLUMNS}")
    return findings


def whole_words(pattern: str) -> re.Pattern[str]:
    # Prose goes on in the next line, behind the sign of a comment. A look-behind has a fixed width.
    gap = r"(?:[\s_-]|\s*\n\s*(?://[/!]?|#|\*|--)\s*)"
    pattern = re.sub(r"(?<!const)(?<!let)(?<!Intended) ", lambda _: gap, pattern)
    return re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![a-z])")


def retired_words(files: Files) -> list[str]:
    """Retired words in the folders where the standard terms apply."""
    rows = [(stem, whole_words(pattern), instead) for stem, pattern, instead in RETIRED]
    findings = []
    for path in files.paths:
        if OWN.match(path) or not path.startswith(SCOPE):
            continue
        text = files.read(path)
        if is_generated(text):
            continue
        exempt = EXEMPT.get(path, ())
        small = text.lower()
        for stem, pattern, instead in rows:
            for found in pattern.finditer(text) if stem in small else ():
                word = re.sub(r"\s+(?:(?://[/!]?|#|\*|--)\s+)?", " ", found.group())
                line = text.count("\n", 0, found.start()) + 1
                if word not in exempt:
                    findings.append(f"{path}:{line} has “{word}”; say {instead}")
    return findings
