"""Each checkable claim of the survey that the course follows, tested.

    python -m experiments.claims

writes notebooks/CLAIMS.md. A claim is a function that measures, beside the rule that turns its
numbers into a verdict (`frame`); the claims stand in the survey's order in `basics`, `swinir`,
`hat` and `results`.
"""

from __future__ import annotations

from . import basics, hat, results, swinir
from .frame import CLAIMS, NOTEBOOKS, Claim, Row, evaluate, page

__all__ = ["CLAIMS", "PAGE", "Claim", "Row", "claims", "evaluate", "page"]

PAGE = NOTEBOOKS / "CLAIMS.md"


def claims() -> list[Claim]:
    """All claims, in the survey's order."""
    order = [module.__name__ for module in (basics, swinir, hat, results)]
    return sorted(CLAIMS, key=lambda claim: order.index(claim.measure.__module__))
