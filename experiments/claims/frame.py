"""A claim, the rule by which a measurement becomes a verdict, and the page made of both.

A claim is declared by a decorator on the function that measures it:

    @claim("ssim-range", "Introduction", "SSIM is “measured from 0 to 1”", test="SSIM of stripes and
           of the same stripes inverted; holds if it is not below 0", found="{lowest:+.2f}",
           judge=lambda n: graded(n.lowest >= 0), shown=["02 SSIM below zero"])
    def ssim_range() -> Numbers:
        ...
        return {"lowest": metrics.ssim(inverted, stripes)}

Nothing that depends on a measurement is typed: the verdict comes from `judge`, the numbers from
`measure`, and a remark is given for a verdict and printed with no other.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from hatlib.errors import HatlibError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

HOLDS, CORRECTED, FAILS = "holds", "holds with a correction", "does not hold"
NOT_HERE, NOT_YET = "not testable here", "not measured yet"
VERDICTS = {
    HOLDS: "what was measured, or reported, is what the survey says",
    CORRECTED: "the core is right; a number, a name or a condition is not, or is missing",
    FAILS: "what was measured, or reported, says otherwise",
    NOT_HERE: "it needs weights, photos, data or time that were unavailable",
    NOT_YET: "the measurement is planned, and its table is not in the package",
}

Numbers = Mapping[str, Any]


class NotMeasured(HatlibError):
    """What a claim needs is not recorded; says in a few words what is missing."""


@dataclass(frozen=True)
class Claim:
    """A statement of the survey that can be checked.

    Attributes:
        key: a short name.
        where: the survey's heading above it.
        words: the statement, with the survey's own words in quotes.
        test: how it is tested, and when it holds.
        found: what was measured, as a format string of the numbers.
        judge: the numbers as attributes → a verdict.
        measure: computes the numbers, or raises NotMeasured.
        shown: where the course shows it: "02 SSIM below zero" is that heading of notebook 02, "09"
            all of it.
        remarks: verdict → a sentence that is printed with it.
    """

    key: str
    where: str
    words: str
    test: str
    found: str
    judge: Callable[[Any], str]
    measure: Callable[[], Numbers]
    shown: Sequence[str] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)


class Row(NamedTuple):
    """A claim as it came out."""

    claim: Claim
    numbers: Numbers
    verdict: str
    text: str


CLAIMS: list[Claim] = []  # in the order in which they are declared, which is the survey's


def claim(
    key: str,
    where: str,
    words: str,
    *,
    test: str,
    found: str,
    judge: Callable[[Any], str],
    shown: Sequence[str] = (),
    remarks: Mapping[str, str] | None = None,
) -> Callable[[Callable[[], Numbers]], Claim]:
    """Declares a claim; decorates the function that measures it."""

    def declare(measure: Callable[[], Numbers]) -> Claim:
        declared = Claim(
            key, where, words, test, found, judge, measure, tuple(shown), dict(remarks or {})
        )
        CLAIMS.append(declared)
        return declared

    return declare


def graded(holds: bool, corrected: bool = False) -> str:
    """The verdict of two conditions, the stronger one first."""
    return HOLDS if holds else CORRECTED if corrected else FAILS


def verdict(one: Claim, numbers: Numbers) -> str:
    """What the claim's rule makes of numbers."""
    return one.judge(SimpleNamespace(**numbers))


def evaluate(one: Claim) -> Row:
    """Measures and judges."""
    try:
        numbers = one.measure()
    except NotMeasured as missing:
        return Row(one, {}, NOT_YET, str(missing))
    result = verdict(one, numbers)
    text = one.found.format(**numbers)
    remark = one.remarks.get(result, "")
    return Row(one, numbers, result, f"{text}. {remark}" if remark else text)


# --- the page -------------------------------------------------------------------------------------


def headings(path: Path) -> list[str]:
    """A notebook's headings, as they stand."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [
        line
        for cell in cells
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).splitlines()
    ]
    return [line.lstrip("#").strip() for line in lines if re.match(r"#{1,4} ", line)]


def link(place: str) -> str:
    """ "02 SSIM below zero" → a Markdown link to that heading; "09" → to the notebook, or its
    number until it is there.

    Raises:
        HatlibError: the notebook has no such heading.
    """
    number, _, heading = place.partition(" ")
    paths = sorted(NOTEBOOKS.glob(f"{number}_*.ipynb"))
    if not paths:
        return f"notebook {number}"
    if not heading:
        return f"[{number}]({paths[0].name})"
    if heading not in headings(paths[0]):
        raise HatlibError(f"{paths[0].name} has no heading “{heading}”")
    anchor = re.sub(r"[`*]", "", heading).replace(" ", "-")
    for letter, code in {'"': "%22", "?": "%3F", "(": "%28", ")": "%29"}.items():
        anchor = anchor.replace(letter, code)
    return f"[{place}]({paths[0].name}#{anchor})"


def page(rows: Sequence[Row]) -> str:
    """All of it in Markdown."""
    counts = Counter(row.verdict for row in rows)
    legend = "\n".join(
        f"| {name} | {counts[name]} | {meaning} |"
        for name, meaning in VERDICTS.items()
        if counts[name]
    )
    parts = [INTRODUCTION.format(claims=len(rows), legend=legend)]
    numbered = list(enumerate(rows, start=1))
    for where in dict.fromkeys(row.claim.where for row in rows):
        lines = [line(number, row) for number, row in numbered if row.claim.where == where]
        parts.append(f"\n## {where}\n\n{HEAD}\n" + "\n".join(lines) + "\n")
    return "".join(parts)


HEAD = """| | the survey | tested by | found | verdict | shown in |
| --- | --- | --- | --- | --- | --- |"""


def line(number: int, row: Row) -> str:
    """A row of the table."""
    one = row.claim
    cells = (
        str(number),
        one.words,
        one.test,
        row.text,
        f"**{row.verdict}**",
        ", ".join(map(link, one.shown)),
    )
    if any("|" in cell or "\n" in cell for cell in cells):
        raise HatlibError(
            f"the claim “{one.key}” has a bar or a line break, which no table can show"
        )
    return f"| {' | '.join(cells)} |"


INTRODUCTION = """# What the survey says, and what was measured

The course follows the survey "Super Resolution" (Eliot Yoon, Yubo Zhang, Ben Liang, William Park;
UCLA, December 2024), which leads from SRCNN over SwinIR to HAT. This page takes its statements one
by one, as far as they can be checked: how each is tested, what was found, and where in the course
it is shown. {claims} statements.

`python -m experiments.claims` writes this page. Every number on it is computed when the command
runs: from the package itself (networks, weights, pictures), from the tables in
`hatlib/evaluation/results/`, each of which has its own command, or from values that papers report,
with their source (`hatlib/evaluation/reported.csv`). The verdict follows from the number by the
rule under "tested by". A test writes the page again and compares.

| verdict | statements | it means |
| --- | --- | --- |
{legend}

What is found with the course's own networks (nano: a few hundred thousand parameters, trained on a
CPU) is true of those; the row says so. And a statement that does not hold as it is written is, more
often than not, a slip of the pen in a text that led its readers, and this course, to HAT.
"""
