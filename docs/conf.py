"""Sphinx's settings for the site; what it shares with `hatlib course` is in hatlib.course.site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatlib.course import site

globals().update(site.settings())

extensions = [
    *site.settings()["extensions"],
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme_options = {
    **site.settings()["html_theme_options"],
    "repository_url": site.REPOSITORY,
    "repository_branch": site.BRANCH,
    "use_repository_button": True,
    "use_issues_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
}
# autosummary looks for a relative path among the sources
templates_path = [str(Path(__file__).with_name("_templates"))]
# autosummary looks for a relative path among the sources
templates_path = [str(Path(__file__).with_name("_templates"))]
autosummary_generate = ["api.md"]
autosummary_imported_members = False
autodoc_inherit_docstrings = False  # those of torch have labels of their own
suppress_warnings = ["ref.python"]  # a type that two modules have under one name
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# the names that the map and the glossary link have to be in the API
nitpicky = True
nitpick_ignore_regex = [("py:(?!obj).*", ".*"), ("py:obj", r"(?!hatlib\.).*")]
html_use_index = True
default_role = "literal"  # single backticks in docstrings are code
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def escape_bars(app: Any, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Absolute values in docstrings, |t|, are no substitutions."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app: Any) -> None:
    """Sphinx calls it."""
    app.connect("autodoc-process-docstring", escape_bars)
