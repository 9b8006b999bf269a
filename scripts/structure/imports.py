"""Import cycles between files, and imports from a lower layer into a higher one."""

from collections import deque

from .rust import Crate

# The layers of api/src, from top to bottom. A file may import from its own layer and from those
# below it.
LAYERS = (
    ("main.rs",),
    ("cli.rs",),
    ("tinysse_cli.rs",),
    ("serve.rs", "tinysse_arguments.rs"),
    ("setup.rs", "scripts.rs", "dev.rs", "environment.rs", "failure.rs", "env_file.rs",
     "stop_signals.rs"),
    ("tinysse_units.rs",),
    ("lib.rs",),
    ("http/",),
    ("script/",),
    ("session/",),
    ("presence/", "sweep.rs"),
    ("store/",),
    ("codec/",),
    # Claims name streams by key and generation.
    ("auth/",),
    ("stream/",),
    ("config/", "telemetry/", "hooks.rs", "lifecycle.rs", "bounded.rs"),
)


def cycles(crates: list[Crate]) -> list[str]:
    """Cycles as chains of files, the shortest first. No two share an import: with a long one gone,
    another may be found."""
    findings = [missing for crate in crates for missing in crate.missing]
    for crate in crates:
        graph: dict[str, set[str]] = {}
        for importer, imported in crate.edges:
            graph.setdefault(importer, set()).add(imported)
        for chain in sorted(all_chains(crate, graph), key=lambda chain: (len(chain), chain)):
            ring = list(zip(chain, (*chain[1:], chain[0])))
            if all(imported in graph[importer] for importer, imported in ring):
                steps = [f"{step[0]}:{crate.edges[step]}" for step in ring]
                findings.append(" → ".join([*steps, chain[0]]))
                for importer, imported in ring:
                    graph[importer].remove(imported)
    return findings


def all_chains(crate: Crate, graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """A shortest cycle through each import that is in one, from its first file by name."""
    chains = set()
    for importer, imported in crate.edges:
        if back := shortest_path(graph, imported, importer):
            chain = [importer, *back[:-1]]
            start = chain.index(min(chain))
            chains.add((*chain[start:], *chain[:start]))
    return chains


def shortest_path(graph: dict[str, set[str]], start: str, end: str) -> list[str] | None:
    before, queue = {start: None}, deque([start])
    while queue:
        at = queue.popleft()
        if at == end:
            path = []
            while at is not None:
                path.append(at)
                at = before[at]
            return path[::-1]
        for neighbour in sorted(graph.get(at, ())):
            if neighbour not in before:
                before[neighbour] = at
                queue.append(neighbour)
    return None


def layer(file: str) -> int | None:
    place = file.removeprefix("api/src/")
    for index, names in enumerate(LAYERS):
        if any(place == name or name.endswith("/") and place.startswith(name) for name in names):
            return index
    return None


def upward(crates: list[Crate]) -> list[str]:
    """Each import in api/src from a file of a higher layer."""
    findings, homeless = [], set()
    for crate in crates:
        for (importer, imported), line in sorted(crate.edges.items()):
            if not importer.startswith("api/src/"):
                continue
            homeless |= {file for file in (importer, imported) if layer(file) is None}
            here, there = layer(importer), layer(imported)
            if here is not None and there is not None and there < here:
                findings.append(f"{importer}:{line} imports from {imported}, a higher layer")
    known = "scripts/structure/imports.py"
    return findings + [f"{file} is in no layer of {known}" for file in sorted(homeless)]
