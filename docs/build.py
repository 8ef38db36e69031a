"""Builds the site: `python docs/build.py`, or `make site`; with `linkcheck`, checks external links.

Sphinx reads a copy of the pages, in build/site-source, in which links to the rest of the repository
lead to the code host. Warnings are errors. The page that upscales in the browser needs npm;
without, the rest is built.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
from pathlib import Path

import browser_files
import nbformat
from sphinx.cmd.build import build_main

from hatlib import HatlibError
from hatlib.course import site

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "build" / "site-source"
OUT = ROOT / "build" / "site"
# pages, pictures: everything else that a page links to is on the code host
FILES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "data/README.md",
    "docs/**/*.md",
    "experiments/picture.png",
    "hatlib/weights/trained/README.md",
    "hatlib/weights/trained/curves.png",
    "notebooks/*.ipynb",
    "notebooks/*.md",
)
BROWSER_PAGE = "docs/try.md"
NAME = re.compile(r"\[`(hatlib(?:\.\w+)+)`\]\([^)\s]*\.py\)")


def pages() -> set[str]:
    """The files of the site, as paths in the repository with slashes."""
    return {path.relative_to(ROOT).as_posix() for pattern in FILES for path in ROOT.glob(pattern)}


def place(name: str) -> str:
    """Where a file goes in the site's sources: docs/ is its root."""
    return name.removeprefix("docs/")


def reference(link: re.Match[str]) -> str:
    """A name of the package as a link into the API; a method's leads to its class."""
    name = link[1]
    home, _, last = name.rpartition(".")
    is_method = home.rpartition(".")[2][0].isupper() and last[0].islower()
    return f"{{py:obj}}`{name} <{home}>`" if is_method else f"{{py:obj}}`{name}`"


def rewrite(markdown: str, here: str, known: set[str]) -> str:
    """A page's text for the site: names of the package lead to the API, files to their page."""

    def relink(target: str, anchor: str) -> str:
        file = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        if file == "README.md":
            return "/index.md"
        if file in known:
            return "/" + place(file) + anchor
        if file == BROWSER_PAGE:
            return f"{site.PUBLISHED}/try.html"
        if not (ROOT / file).exists():
            raise SystemExit(f"{here}: no file {file}")
        return f"{site.REPOSITORY}/blob/{site.BRANCH}/{file}{anchor}"

    return site.relinked(NAME.sub(reference, markdown), relink)


def gather(known: set[str]) -> None:
    """Brings the site's sources together: those pages, and what belongs to them."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for name in sorted(known):
        content = (ROOT / name).read_bytes()
        if name.endswith(".md"):
            content = rewrite(content.decode(), name, known).encode()
        elif name.endswith(".ipynb"):
            notebook = nbformat.reads(content.decode(), as_version=4)
            shown = site.source(notebook, lambda text, name=name: rewrite(text, name, known))
            content = nbformat.writes(shown).encode()
        file = SOURCE / place(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def gather_browser_page() -> Path | None:
    """The files of the page that upscales in the browser; None, having said why not."""
    try:
        return browser_files.gather()
    except HatlibError as error:
        print(f"without the page that upscales in the browser: {error}")
        return None


def main(builder: str = "html") -> int:
    """Builds the site, or checks its external links (linkcheck). Returns the exit status."""
    known = pages()
    browser_page = gather_browser_page() if builder == "html" else None
    if builder == "html" and browser_page is None:
        known.remove(BROWSER_PAGE)
    gather(known)
    os.chdir(ROOT)
    # -E: what an earlier build has read is not read again otherwise, and its warnings are not given
    options = [
        "-q",
        "-E",
        "-W",
        "--keep-going",
        "-j",
        "2",
        "-d",
        "build/site-doctrees",
        "-c",
        "docs",
    ]
    out = OUT if builder == "html" else OUT.with_name(f"site-{builder}")
    status = build_main([*options, "-b", builder, str(SOURCE), str(out)])
    if builder == "html":
        shutil.rmtree(out / "_static" / "browser", ignore_errors=True)  # an earlier build's
        if browser_page:
            shutil.copytree(browser_page, out / "_static" / "browser")
        else:
            (out / "try.html").unlink(missing_ok=True)
    print(out / "index.html" if builder == "html" else out)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
