"""The pages that `hatlib course` writes: each executed notebook as HTML, and an index of them.

They work offline: formulas are MathML, scripts and web fonts are left out, and a badge from another
site becomes its text. Explorers, which need a kernel, show their first picture and settings.
"""

from __future__ import annotations

import copy
import datetime
import html
import logging
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hatlib.course import progress, widget_images
from hatlib.course.result import Result

if TYPE_CHECKING:
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_css -%}
{{ resources.include_css("static/theme-dark.css")
   | replace("<style", '<style media="(prefers-color-scheme: dark)"') }}
<style>{{ resources.course.css }}</style>
{%- endblock -%}
{%- block body_header -%}{{ super() }}{{ resources.course.top }}{%- endblock -%}
{%- block body_footer -%}{{ resources.course.bottom }}{{ super() }}{%- endblock -%}
{%- block data_png -%}
{%- set alt = output | get_metadata("alt", "image/png") -%}
{{ super() | replace("<img ", '<img alt="' ~ (alt | escape_html) ~ '" ', 1) if alt else super() }}
{%- endblock -%}
{%- block error -%}<div id="error"></div>{{ super() }}{%- endblock -%}
"""

INDEX = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>hatlib: the course</title>
<style>{css}</style>
</head>
<body class="index">
<header><h1>Single-image super-resolution</h1>
<p>The hatlib course, as it ran on this machine:
<strong class="{verdict}">{summary}</strong></p></header>
<main><ol class="notebooks">
{rows}
</ol>
<h2>Where it ran</h2>
<dl>
{facts}
</dl></main>
<footer>Written {date} UTC by <code>hatlib course</code>. The numbers behind this page are in
<a href="course.json">course.json</a>.</footer>
</body>
</html>
"""

ROW = """\
<li class="{state}"><span class="number">{number}</span>
<div><h3>{title}</h3>
<p>{promise}</p>
<p class="meta"><span class="state {state}">{label}</span> {details}</p></div></li>"""


# ---- formulas ------------------------------------------------------------------------------------

# What MathJax knows in a notebook and latex2mathml does not, said in words that both know.
LATEX_FIXES = (
    (r"\\begin\{aligned\}", r"\\begin{split}"),
    (r"\\end\{aligned\}", r"\\end{split}"),
    (r"\\(begin|end)\{equation\*?\}", ""),
    (r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}"),
    (r"\\[bB]igg?[lr]?(?=\\[a-zA-Z])", ""),
)
# Bars and arrows: browsers would stretch them to their neighbours and space them like a relation.
BAR = re.compile(
    r'<mo(?: stretchy="false")?>(&#x0007C;|&#x02016;|&#x02225;|&#x02191;|&#x02193;)</mo>'
)
MATHML = "http://www.w3.org/1998/Math/MathML"


def mathml(latex: str, display: str = "inline") -> str:
    """A formula as MathML, which browsers draw themselves; as LaTeX code if it cannot be converted.

    Args:
        latex: without dollar signs.
        display: "inline" or "block".
    """
    from latex2mathml.converter import convert

    text = latex
    for pattern, replacement in LATEX_FIXES:
        text = re.sub(pattern, replacement, text)
    try:
        formula = convert(text.strip(), display=display)
    except Exception:  # latex2mathml raises whatever its parser ran into
        return f"<code>{html.escape(latex)}</code>"
    formula = formula.replace(
        f' xmlns="{MATHML}"', ""
    )  # HTML needs none; nbconvert's headings break on it
    return BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', formula)


def new_exporter() -> HTMLExporter:
    """nbconvert's HTML exporter without anything from the network, with MathML for formulas."""
    from jinja2 import pass_context
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_html(self, html: str) -> str:
            return html + "\n"  # as it is: nbconvert would close a <details> before its content

        def inline_html(self, html: str) -> str:
            return html

        def inline_math(self, body: str) -> str:
            return mathml(body)

        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    @pass_context
    def markdown2html(context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        folder = context["resources"]["metadata"]["path"]
        renderer = Renderer(escape=False, embed_images=True, path=folder, attachments=attachments)
        return str(MarkdownWithMath(renderer=renderer).render(source))

    log = logging.getLogger("hatlib.course.pages")
    log.setLevel(logging.ERROR)  # nbconvert warns of every figure that has no alternative text
    exporter = HTMLExporter(raw_template=TEMPLATE, log=log)
    exporter.register_filter("markdown2html", markdown2html)
    return exporter


# ---- a notebook ----------------------------------------------------------------------------------


def notebook_page(notebook: NotebookNode, path: Path, results: Sequence[Result], out: Path) -> str:
    """An executed notebook as a self-contained page.

    Args:
        notebook: with its outputs and widget state; it is not changed.
        path: the notebook's file; links and pictures in its text are relative to it.
        results: of the whole course, for the links to the previous and the next notebook.
        out: the folder that the page will be written to.
    """
    state = widget_images.widget_state(notebook)
    shown = copy.deepcopy(notebook)
    shown.metadata.pop("widgets", None)
    for cell in shown.cells:
        for output in cell.get("outputs", []):
            if view := output.get("data", {}).get(widget_images.VIEW):
                output["data"] = {"text/html": widget_images.as_html(view["model_id"], state)}
    number = [r.name for r in results].index(path.stem)
    shown.metadata["title"] = results[number].title
    course = {
        "css": stylesheet(),
        "top": _navigation(results, number),
        "bottom": _navigation(results, number),
    }
    extra = {"metadata": {"name": path.stem, "path": str(path.parent)}, "course": course}
    text, _ = new_exporter().from_notebook_node(shown, resources=extra)
    return local_links(text, path, [r.name for r in results if r.state != "absent"], out)


def _navigation(results: Sequence[Result], number: int) -> str:
    """Links to the index and the neighbours; a neighbour without a page is only named."""

    def link(k: int, text: str) -> str:
        if not 0 <= k < len(results):
            return "<span></span>"
        title = text.format(line(results[k].title))
        there = results[k].state != "absent"
        return (
            f'<a href="{page(results[k].name)}">{title}</a>' if there else f"<span>{title}</span>"
        )

    return (
        f'<nav class="course">{link(number - 1, "← {}")}<a href="index.html">the course</a>'
        f"{link(number + 1, '{} →')}</nav>"
    )


def local_links(page: str, path: Path, course: Sequence[str], out: Path) -> str:
    """Rewrites a page's links for the folder `out`: to the notebooks' pages, and to other files.

    Pictures from other sites (badges) become their alternative text.
    """
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page, features="html.parser")
    for image in soup.select('img[src^="http"]'):
        badge = soup.new_tag("span", attrs={"class": "badge"})
        badge.string = str(image.get("alt") or "picture")
        image.replace_with(badge)
    for script in soup.select("script[src], link[href^=http]"):
        script.decompose()
    for element in soup.select("main .jp-Cell a[href], main .jp-Cell img[src]"):
        key = "href" if element.name == "a" else "src"
        element[key] = _relocate(str(element[key]), path, course, out)
    return str(soup)


def _relocate(address: str, path: Path, course: Sequence[str], out: Path) -> str:
    """One link, relative to the output folder."""
    if re.match(r"[a-z][a-z+.-]*:|#|/", address, re.IGNORECASE):
        return address
    target, mark, anchor = address.partition("#")
    if target.removesuffix(".ipynb") in course:
        return target.removesuffix(".ipynb") + ".html" + mark + anchor
    file = path.parent.absolute() / target
    try:
        return Path(os.path.relpath(file, out.absolute())).as_posix() + mark + anchor
    except ValueError:  # another drive on Windows
        return file.as_uri() + mark + anchor


def stylesheet() -> str:
    """The style of the pages, course.css."""
    return resources.files("hatlib.course").joinpath("course.css").read_text(encoding="utf-8")


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
        mathml(part) if k % 2 else html.escape(plain(part)) for k, part in enumerate(parts)
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


def index_page(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    """The index: each notebook's title, promise, state and minutes; machine, versions and date."""
    rows = "\n".join(_row(r) for r in results)
    facts_html = "\n".join(
        f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()
    )
    failed = any(r.state == "failed" for r in results)
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"
    return INDEX.format(
        css=stylesheet(),
        verdict="failed" if failed else "passed",
        summary=summary(results),
        rows=rows,
        facts=facts_html,
        date=date,
    )


def _row(result: Result) -> str:
    title = line(result.title)
    details = f"{result.minutes:.1f} min" if result.ran else ""
    if result.ran:
        title = f'<a href="{page(result.name)}">{title}</a>'
        notebook = page(result.name, ".ipynb")
        details += f' · {result.done} of {result.cells} cells · <a href="{notebook}">notebook</a>'
    if passed := sum(id.startswith(result.name[:2]) for id in progress.passed()):
        details += f" · exercises passed: {passed}"
    if result.state == "failed":
        details += (
            f'<br><a class="error" href="{page(result.name)}#error">{html.escape(result.error)}</a>'
        )
    return ROW.format(
        state=result.state,
        number=html.escape(result.name[:2]),
        title=title,
        promise=line(result.promise),
        label=result.state if result.ran else "not run",
        details=details,
    )
