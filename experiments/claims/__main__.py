"""Measures the survey's claims and writes notebooks/CLAIMS.md."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from experiments import command
from hatlib.system import atomic

from . import PAGE, claims, evaluate, page


def main(arguments: Sequence[str] | None = None) -> None:
    asked = command.options(__doc__, PAGE).parse_args(arguments)
    rows = []
    for claim in claims():
        row = evaluate(claim)
        rows.append(row)
        print(f"{claim.key:20} {row.verdict:24} {row.text}", flush=True)
    atomic.write_text(asked.out, page(rows))
    counts = Counter(row.verdict for row in rows)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    print(f"wrote {os.path.relpath(asked.out)}")


if __name__ == "__main__":
    command.run(main)
