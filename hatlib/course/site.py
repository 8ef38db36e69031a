"""What the site and the pages of `hatlib course` have in common: Sphinx, its settings, its sources.

Everything works from a folder and without a network: formulas are MathML, which browsers draw
themselves, scripts and fonts are those that the theme brings along, and a badge from another site
becomes its text. Explorers, which need a kernel, are the picture that their notebook has stored.
"""

from __future__ import annotations

import copy
import html
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatlib.version import __version__

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from sphinx.application import Sphinx

LOCAL = "local"  # scheme of links to files that are no pages
HERE = Path(__file__).parent
REPOSITORY = "https://github.com/hatlib/hatlib"
BRANCH = "main"
PUBLISHED = "https://hatlib.github.io/hatlib"

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
    formula = formula.replace(f' xmlns="{MATHML}"', "")  # HTML needs none
    return BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', formula)


def _inline_formula(translator: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    translator.body.append(mathml(node.astext()))
    raise SkipNode


def _block_formula(translator: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


# ---- settings ------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """A heading's anchor as JupyterLab makes it: links in notebooks lead there."""
    return heading.strip().replace(" ", "-")


def settings() -> dict[str, Any]:
    """Sphinx's settings for pages made of notebooks."""
    return {
        "project": "hatlib",
        "author": "the hatlib contributors",
        "release": __version__,
        "extensions": ["myst_nb", "hatlib.course.site"],
        "nb_execution_mode": "off",  # what is stored in a notebook is what the page shows
        "nb_merge_streams": True,
        "myst_enable_extensions": ["amsmath", "dollarmath"],
        "myst_heading_anchors": 4,
        "myst_heading_slug_func": "hatlib.course.site.slug",
        # a file of this machine; MyST lets no text name one by file:
        "myst_url_schemes": {"https": None, "http": None, "mailto": None, LOCAL: "file://{{path}}"},
        "html_math_renderer": "mathml",
        "html_theme": "sphinx_book_theme",
        "html_title": "hatlib",
        "html_static_path": [str(HERE / "site.css"), str(HERE / "site.js")],
        "html_css_files": ["site.css"],
        "html_js_files": ["site.js"],
        "html_copy_source": False,
        "html_show_copyright": False,
        "html_use_index": False,
        "html_context": {"default_mode": "auto"},  # light or dark as the system is
        "smartquotes": False,
        "html_theme_options": {
            "navbar_persistent": [],  # the search field is in the sidebar
            "use_download_button": False,
            "use_fullscreen_button": False,
            "show_toc_level": 2,
        },
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """The part of the settings that is code; Sphinx calls it."""
    app.add_html_math_renderer("mathml", (_inline_formula, None), (_block_formula, None))
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}


def build(source: Path, out: Path, doctrees: Path) -> str:
    """Draws pages from sources with `settings` alone. Returns what Sphinx had to say."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    said = io.StringIO()
    with patch_docutils(), docutils_namespace():
        Sphinx(
            srcdir=source,
            confdir=None,
            outdir=out,
            doctreedir=doctrees,
            buildername="html",
            confoverrides=settings(),
            status=None,
            warning=said,
        ).build(force_all=True)
    return said.getvalue()


# ---- sources -------------------------------------------------------------------------------------

LINK = re.compile(r"(?<=\]\()(?!<)([^)\s]+)(?=\))")
ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:|/", re.IGNORECASE)
# a picture from another site: its words stay
DISTANT_PICTURE = re.compile(r"!\[([^\]]*)\]\(https?://[^)]*\)")


def relinked(markdown: str, relink: Callable[[str, str], str]) -> str:
    """Markdown with its links to files changed, and without pictures from other sites.

    Args:
        relink: makes the new address of a link or picture from its file and its anchor, "" or with
            its #.
    """

    def changed(link: re.Match[str]) -> str:
        if ELSEWHERE.match(link[1]):
            return link[1]
        # MyST looks for a heading with its question mark
        target, mark, anchor = link[1].replace("%3F", "?").partition("#")
        return relink(target, mark + anchor) if target else mark + anchor

    return LINK.sub(changed, DISTANT_PICTURE.sub(r"\1", markdown))


def source(notebook: NotebookNode, rewrite: Callable[[str], str]) -> NotebookNode:
    """An executed notebook as Sphinx should read it: a copy.

    Args:
        rewrite: applied to each Markdown cell.
    """
    shown = copy.deepcopy(notebook)
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = rewrite(cell.source)
        for output in cell.get("outputs", []):
            if picture := _picture(output):
                output["data"] = {"text/html": picture}
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            cell.outputs.insert(0, _html_output('<div id="error"></div>'))
    return shown


def _html_output(text: str) -> NotebookNode:
    from nbformat.v4 import new_output

    return new_output("display_data", {"text/html": text})


def _picture(output: NotebookNode) -> str:
    """A picture with the words for those who do not see it, which MyST-NB would drop; or ""."""
    for kind, content in output.get("data", {}).items():
        if kind in ("image/png", "image/jpeg"):
            alt = html.escape(output.get("metadata", {}).get(kind, {}).get("alt", ""))
            note = output.data.get("text/plain", "")
            words = f"<p>{html.escape(note)}</p>" if note.startswith("explorer") else ""
            # dark-light: the theme would change the colours of other pictures in the dark
            address = html.escape(f"data:{kind};base64,{content.strip()}")
            return f'<img class="dark-light" src="{address}" alt="{alt}">{words}'
    return ""
