"""What mkdocs must know of this repository: pages and files outside of docs/, and Mermaid."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "scripts/site/node_modules"
# Where a page finds a script, and where it comes from.
SCRIPTS = {
    "assets/mermaid.min.js": MODULES / "mermaid/dist/mermaid.min.js",
    "assets/iframe-worker.js": MODULES / "iframe-worker/shim/index.js",
}
# A link or an image to a path, without its heading.
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lets pages load the worker of the search from the site."""
    config.extra["polyfills"] = ["assets/iframe-worker.js"]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the scripts to the site."""
    for uri, source in SCRIPTS.items():
        files.append(File.generated(config, uri, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lets links to files outside of docs/ lead to the repository."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def outside(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        if path.startswith("docs/"):
            return link[1]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return posixpath.join(config.extra["repository"], kind, "main", path)

    return LINK.sub(outside, markdown)
