"""The pages that `hatlib course` writes: what it executed, as the site shows it, and an index.

The index has the minutes and the machine; a failed notebook's entry leads to its error. The pages
beside the notebooks (map, claims, glossary) come along. `hatlib.course.site` has what these pages
share with the site.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from hatlib.course import progress, site
from hatlib.course.result import Result
from hatlib.system import atomic, console
from hatlib.validation import one_line

INDEX = """\
# Single-image super-resolution

<div class="run">
<p class="lead">The hatlib course, as it ran on this machine:
<strong class="{verdict}">{summary}</strong></p>
<ol class="notebooks">
{rows}
</ol>
</div>

## Where it ran

<dl class="machine">
{facts}
</dl>

<p class="written">Written {date} UTC by <code>hatlib course</code>. The numbers behind this page
are in <a href="course.json">course.json</a>.</p>

```{{toctree}}
:caption: The course
:hidden:

{notebooks}
```

```{{toctree}}
:caption: Beside the course
:hidden:

{others}
```
"""

ROW = """\
<li class="{state}"><span class="number">{number}</span>
<div><p class="title">{title}</p>
<p>{promise}</p>
<p class="meta"><span class="state {state}">{label}</span> {details}</p></div></li>"""


def write(home: Path, results: Sequence[Result], facts: Mapping[str, str], folder: Path) -> None:
    """Writes index.html and a page for each notebook that has run, whole or not at all.

    What a page needs (styles, scripts, fonts) comes along, so the folder can be moved and works
    without a network. Pages that cannot be drawn are a warning: what ran is in `folder` already.

    Args:
        home: the folder of the notebooks; links and pictures in their text are relative to it.
        results: of the whole course, in order.
        facts: what to know of the machine.
        folder: has the executed notebooks, and gets the pages.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        try:
            _gather(home, results, facts, folder, place / "source")
            site.build(place / "source", place / "pages", place / "doctrees")
        except Exception as error:  # Sphinx and its extensions fail in many ways
            console.warn(f"the pages could not be drawn: {one_line(error)}")
            return
        _move(place / "pages", folder)


def _move(pages: Path, folder: Path) -> None:
    """Brings finished pages to their place; the index last, as it leads to the others."""
    files = [path for path in pages.rglob("*") if path.is_file() and path.name != ".buildinfo"]
    for file in sorted(files, key=lambda path: path == pages / "index.html"):
        target = folder / file.relative_to(pages)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic.atomic_path(target) as temporary:
            shutil.copyfile(file, temporary)


def _gather(
    home: Path, results: Sequence[Result], facts: Mapping[str, str], folder: Path, source: Path
) -> None:
    """Sphinx's sources: the executed notebooks, the pages beside them, the index."""
    import nbformat

    source.mkdir()
    ran = [r.name for r in results if r.ran and (folder / f"{r.name}.ipynb").is_file()]
    others = sorted(path for path in home.glob("*.md") if path.stem != "index")
    known = {f"{name}.ipynb" for name in ran} | {path.name for path in others}

    def rewrite(text: str) -> str:
        return site.relinked(text, _relink(home, known))

    for name in ran:
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        nbformat.write(site.source(notebook, rewrite), source / f"{name}.ipynb")
    for path in others:
        with contextlib.suppress(UnicodeDecodeError):
            text = rewrite(path.read_text(encoding="utf-8"))
            (source / path.name).write_text(text, encoding="utf-8")
    text = index_page(results, facts, ran, [path.stem for path in others])
    (source / "index.md").write_text(text, encoding="utf-8")


def _relink(home: Path, known: set[str]) -> Callable[[str, str], str]:
    """Links for the pages: to another page, or to the file itself."""

    def relink(target: str, anchor: str) -> str:
        if target in known:
            return target + anchor
        file = (home.absolute() / unquote(target)).resolve()
        return site.LOCAL + file.as_uri().removeprefix("file")

    return relink


# ---- the index -----------------------------------------------------------------------------------


def plain(markdown: str) -> str:
    """A line of Markdown as plain text: links become their words, emphasis and code marks go."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"(\*\*|\*|`|(?<!\w)_|_(?!\w))", "", text)


def page(name: str, suffix: str = ".html") -> str:
    """The address of a notebook's page, whatever signs its file name has."""
    return html.escape(quote(name + suffix))


def line(markdown: str) -> str:
    """A line of Markdown as HTML: plain text and its formulas."""
    parts = re.split(r"(?<!\\)\$([^$]+)\$", markdown)
    return "".join(
        site.mathml(part) if k % 2 else html.escape(plain(part)) for k, part in enumerate(parts)
    )


def summary(results: Sequence[Result]) -> str:
    """The whole run in one line."""
    ran = [r for r in results if r.ran]
    failed = [r for r in ran if r.state == "failed"]
    left = len(results) - len(ran)
    how = (
        f"{len(failed)} of {len(ran)} failed"
        if failed
        else f"{'' if left else 'all '}{len(ran)} passed"
    )
    rest = f" ({left} not run)" if left else ""
    return f"{how}{rest}, {sum(r.minutes for r in ran):.1f} minutes"


def index_page(
    results: Sequence[Result],
    facts: Mapping[str, str],
    ran: Sequence[str] = (),
    others: Sequence[str] = (),
) -> str:
    """The index as MyST: title, promise, state and minutes of each notebook; machine and date."""
    titles = {r.name: f"{r.name[:2]} {plain(r.title).split(':')[0]}" for r in results}
    # a title with such signs would be read as something else
    entries = [
        name if re.search(r"[<>\\$]", titles[name]) else f"{titles[name]} <{name}>" for name in ran
    ]
    return INDEX.format(
        verdict="failed" if any(r.state == "failed" for r in results) else "passed",
        summary=summary(results),
        rows="\n".join(_row(r, r.name in ran) for r in results),
        facts="\n".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()
        ),
        date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}",
        notebooks="\n".join(entries),
        others="\n".join(others),
    )


def _row(result: Result, has_page: bool) -> str:
    title = line(result.title)
    details = f"{result.minutes:.1f} min" if result.ran else ""
    if has_page:
        title = f'<a href="{page(result.name)}">{title}</a>'
        notebook = page(result.name, ".ipynb")
        details += f' · {result.done} of {result.cells} cells · <a href="{notebook}">notebook</a>'
    if passed := sum(id.startswith(result.name[:2]) for id in progress.passed()):
        details += f" · exercises passed: {passed}"
    if result.state == "failed":
        error = f'<span class="error">{html.escape(result.error)}</span>'
        if has_page:
            error = f'<a href="{page(result.name)}#error">{error}</a>'
        details += f"<br>{error}"
    return ROW.format(
        state=result.state,
        number=html.escape(result.name[:2]),
        title=title,
        promise=line(result.promise),
        label=result.state if result.ran else "not run",
        details=details,
    )
