"""The modules of a Rust crate, and which file imports from which.

This is not a compiler: it reads `mod`, `use`, the names of items, and qualified paths, and follows
re-exports to the file that defines the item. It ignores code for tests only.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import PurePosixPath

# The folders that are checked.
SOURCES = ("api/src", "bench/src", "clients/rust/src")

LITERAL = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | \bb?r(\#*)".*?"\1
      | \bb?"(?:\\.|[^"\\])*" | "(?:\\.|[^"\\])*"
      | \bb?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])' | '(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])'
    """,
    re.DOTALL | re.VERBOSE,
)
FOR_TESTS = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]")
ATTRIBUTE = re.compile(r"\s*#\[[^\]]*\]")
TOKEN = re.compile(
    r"""(?P<brace>[{}])
      | (?P<public>\bpub(?:\s*\([^)]*\))?\s+)?\buse\s+(?P<tree>[^;]+);
      | \bmod\s+(?P<module>\w+)\s*(?P<body>[{;])
      | \b(?:fn|struct|enum|trait|type|union|static(?:\s+mut)?|const(?!\s+(?:fn|unsafe|async)\b)|macro_rules!)
        \s+(?P<item>[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)
PATH = re.compile(r"(?<![\w:])([A-Za-z_]\w*)((?:\s*::\s*[A-Za-z_]\w*)+)")

EXTERNAL = None


@dataclass(eq=False)
class Module:
    """A module: a file, or `mod name { … }` within one."""

    file: str
    parent: "Module | None" = None
    children: dict[str, "Module"] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    globs: list[list[str]] = field(default_factory=list)
    crate: "Crate | None" = None

    def root(self) -> "Module":
        return self.parent.root() if self.parent else self


@dataclass(eq=False)
class Crate:
    """A crate: its root module, and what its files import."""

    name: str
    root: Module
    # The library of the same package, for a program.
    library: "Crate | None" = None
    # (importing file, defining file) to the first line that imports.
    edges: dict[tuple[str, str], int] = field(default_factory=dict)
    # (module, line, path) of each `use` and each qualified path.
    paths: list[tuple[Module, int, list[str]]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def without_declaration(token: re.Match[str]) -> str:
    """Blanks for a `use` and for a `mod`, which name things but are not code that uses them."""
    return blank(token) if token["tree"] or token["module"] else token.group()


def without_literals(source: str) -> str:
    """The source with blanks for comments, strings and characters."""
    return LITERAL.sub(blank, source)


def without_tests(source: str) -> str:
    """The source with blanks for the items behind `#[cfg(test)]`."""
    at = 0
    while found := FOR_TESTS.search(source, at):
        end = end_of_item(source, found.end())
        blanks = re.sub(r"[^\n]", " ", source[found.start() : end])
        source = source[: found.start()] + blanks + source[end:]
        at = end
    return source


def end_of_item(source: str, at: int) -> int:
    while attribute := ATTRIBUTE.match(source, at):
        at = attribute.end()
    is_use = re.compile(r"\s*(?:pub(?:\([^)]*\))?\s+)?use\b").match(source, at)
    depth = 0
    for position in range(at, len(source)):
        character = source[position]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0 and character == "}" and not is_use:
                return position + 1
        elif character == ";" and depth == 0:
            return position + 1
    return len(source)


def leaves(tree: str) -> list[tuple[list[str], str]]:
    """The paths of a `use` tree, each with the name that it gets: `*` of a glob, `_` of none."""
    tree = tree.strip()
    if "{" in tree:
        prefix, rest = tree.split("{", 1)
        before = [part for part in re.split(r"\s*::\s*", prefix.strip()) if part]
        parts = split_at_commas(rest.rsplit("}", 1)[0])
        inner = [leaf for part in parts if part.strip() for leaf in leaves(part)]
        return [without_self(before + path, name) for path, name in inner]
    path_text, _, alias = tree.partition(" as ")
    path = [part.strip() for part in path_text.split("::") if part.strip()]
    return [(path, alias.strip() or path[-1])]


def without_self(path: list[str], name: str) -> tuple[list[str], str]:
    """`{self}` in a tree stands for the path before it."""
    if len(path) > 1 and path[-1] == "self":
        return path[:-1], path[-2] if name == "self" else name
    return path, name


def split_at_commas(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def crates(files) -> list[Crate]:
    """The crates of the repository, with their edges."""
    found = []
    for folder in SOURCES:
        paths = files.under(folder)
        if not paths:
            continue
        manifest = files.read(str(PurePosixPath(folder).parent / "Cargo.toml"))
        name = re.search(r'^name = "([^"]+)"', manifest, re.MULTILINE).group(1).replace("-", "_")
        library = None
        for path in sorted(paths, key=lambda path: not path.endswith("/lib.rs")):
            place = path.removeprefix(f"{folder}/")
            if place not in {"lib.rs", "main.rs"} and not re.fullmatch(r"bin/\w+\.rs", place):
                continue
            crate = Crate(name, Module(path), library)
            crate.root.crate = crate
            read_file(files, crate, crate.root, str(PurePosixPath(path).parent))
            if place == "lib.rs":
                library = crate
            found.append(crate)
    for crate in found:
        add_edges(crate)
    return found


def read_file(files, crate: Crate, module: Module, folder: str) -> None:
    """Reads a file of the crate, and the files of the modules that it declares."""
    source = without_tests(without_literals(files.read(module.file)))
    starts = [0, *(at.end() for at in re.finditer("\n", source))]
    scopes, ranges = [(module, 0, folder)], [(0, module)]
    depth, uses = 0, []
    for token in TOKEN.finditer(source):
        here, own_depth, here_folder = scopes[-1]
        if brace := token["brace"]:
            depth += 1 if brace == "{" else -1
            if depth < own_depth:
                scopes.pop()
                ranges.append((token.end(), scopes[-1][0]))
        elif token["tree"]:
            uses.append((here, token, bisect_right(starts, token.start())))
        elif name := token["module"]:
            child = Module(module.file, here, crate=crate)
            here.children[name] = child
            if token["body"] == "{":
                depth += 1
                scopes.append((child, depth, f"{here_folder}/{name}"))
                ranges.append((token.end(), child))
            elif not read_module(files, crate, child, f"{here_folder}/{name}"):
                crate.missing.append(f"{module.file}: no file of the module {name}")
        elif depth == own_depth:
            here.items.add(token["item"])
    add_paths(crate, TOKEN.sub(without_declaration, source), starts, ranges, uses)


def read_module(files, crate: Crate, module: Module, place: str) -> bool:
    for path in (f"{place}.rs", f"{place}/mod.rs"):
        if files.has(path):
            module.file = path
            read_file(files, crate, module, place)
            return True
    return False


def add_paths(crate: Crate, code: str, starts, ranges, uses) -> None:
    words = set(re.findall(r"\w+", code))
    for module, token, line in uses:
        for path, name in leaves(token["tree"]):
            if name == "*":
                module.globs.append(path[:-1])
            else:
                module.aliases[name] = path
            # A re-export alone is not an import: the file has to use the name, too.
            if not token["public"] or name in words:
                crate.paths.append((module, line, path))
    positions = [start for start, _ in ranges]
    for found in PATH.finditer(code):
        module = ranges[bisect_right(positions, found.start()) - 1][1]
        path = [found[1], *re.findall(r"\w+", found[2])]
        crate.paths.append((module, bisect_right(starts, found.start()), path))


def add_edges(crate: Crate) -> None:
    for module, line, path in crate.paths:
        target = resolve(module, path, frozenset())
        if isinstance(target, str) and target != module.file:
            crate.edges.setdefault((module.file, target), line)


def resolve(module: Module, path: list[str], seen: frozenset):
    """The file that defines the path's item; a module, if the path ends there; or EXTERNAL."""
    first, rest = path[0], path[1:]
    if first == "crate":
        return descend(module.root(), rest, seen)
    if first == "self":
        return descend(module, rest, seen)
    if first == "super":
        return descend(module.parent, rest, seen) if module.parent else EXTERNAL
    library = module.crate.library
    if library and first == library.name:
        return descend(library.root, rest, seen)
    return find(module, first, rest, seen)


def descend(module: Module, path: list[str], seen: frozenset):
    if not path:
        return module
    if path[0] == "super":
        return descend(module.parent, path[1:], seen) if module.parent else EXTERNAL
    if path[0] == "*":
        return module.file
    found = find(module, path[0], path[1:], seen)
    # A macro may define what is nowhere to be seen.
    is_known = path[0] in module.aliases or (module, path[0]) in seen
    return module.file if found is EXTERNAL and not is_known else found


def find(module: Module, name: str, rest: list[str], seen: frozenset):
    """What the name is in the scope of the module; EXTERNAL if it is not there."""
    if (module, name) in seen:
        return EXTERNAL
    seen |= {(module, name)}
    if rest and name in module.children:
        return descend(module.children[name], rest, seen)
    if name in module.items:
        return module.file
    if name in module.aliases:
        return resolve(module, module.aliases[name] + rest, seen)
    if name in module.children:
        return module.children[name]
    for glob in module.globs:
        target = resolve(module, glob, seen)
        if isinstance(target, Module):
            found = find(target, name, rest, seen)
            if found is not EXTERNAL:
                return found
    return EXTERNAL
