"""The field's words: each term is introduced once, in the glossary too, and our own old ones are
gone."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.links import LINK, NOTEBOOKS, mistakes

GLOSSARY = NOTEBOOKS / "GLOSSARY.md"
PAGES = [
    *sorted(NOTEBOOKS.glob("*.ipynb")),
    *sorted(NOTEBOOKS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
]
# the term, in bold where the course introduces it, and the notebook that does
INTRODUCED = {
    "AIM": "08",
    "confidence interval": "07",
    "data augmentation": "03",
    "depthwise convolution": "08",
    "downsample": "00",
    "exponential moving average (EMA)": "03",
    "ground truth": "00",
    "ill-posed": "01",
    "mixed precision": "09",
    "receptive field": "03",
    "residual": "04",
    "SGFN": "08",
    "upsample": "00",
    "vanishing gradient": "04",
}
AVOIDED = {
    r"\bto be had\b": "(un)available, cannot be downloaded",
    r"\bgone on with\b": "resumed",
    r"\bmade (small|large)\b": "downsampled, upsampled",
    r"\bmend(s|ed)?\b": "fix",
    r"\bhow far (it|they) (sees?|looks?)\b": "receptive field",
    r"\ba row a\b": "one row per",
}


@cache
def text(path: Path) -> str:
    """Prose and code of a page, without stored outputs."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return content
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(content)["cells"])


@cache
def bold(path: Path) -> list[str]:
    """What stands in bold in a notebook's text, in lower case."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    paragraphs = [
        paragraph
        for cell in cells
        if cell["cell_type"] == "markdown"
        for paragraph in re.split(r"\n\s*\n", re.sub(r"(?s)```.*?```", "", "".join(cell["source"])))
    ]
    spans = [
        span for paragraph in paragraphs for span in re.findall(r"\*\*(.+?)\*\*", paragraph, re.S)
    ]
    return [" ".join(span.split()).lower() for span in spans]


@pytest.mark.parametrize(("term", "number"), INTRODUCED.items(), ids=list(INTRODUCED))
def test_a_term_is_introduced_once(term: str, number: str) -> None:
    where = [path.name[:2] for path in sorted(NOTEBOOKS.glob("*.ipynb")) for span in bold(path)
             if span.removesuffix("s") == term.lower()]  # fmt: skip
    assert where == [number], f"**{term}** is in bold in {where}; introduce it once, in {number}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_our_own_words_are_gone(path: Path) -> None:
    for pattern, instead in AVOIDED.items():
        match = re.search(pattern, text(path), re.IGNORECASE)
        assert not match, f"{path.name} says '{match[0]}'; the field says: {instead}"


def test_every_link_of_the_glossary_leads_to_what_it_says() -> None:
    content = text(GLOSSARY)
    assert len(LINK.findall(content)) > 40
    assert list(mistakes(content)) == []


def test_the_glossary_is_in_order_and_has_every_term() -> None:
    rows = [line.split(" | ") for line in text(GLOSSARY).splitlines() if line.startswith("| ")]
    terms = [row[0].strip("| ") for row in rows[2:]]  # after the head and its rule
    assert terms == sorted(terms, key=str.casefold)
    names = {name for term in terms for name in term.split(", ")}
    missing = {name for name in INTRODUCED if name not in names} - {
        "exponential moving average (EMA)"
    }
    assert not missing and "EMA" in names


def test_readme_and_the_first_notebook_lead_to_the_glossary() -> None:
    assert "](notebooks/GLOSSARY.md)" in text(ROOT / "README.md")
    assert "](GLOSSARY.md)" in text(NOTEBOOKS / "00_start_here.ipynb")
