"""Measures all claims and writes the page."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

import hatlib  # before torch: settles how waiting threads wait  # isort: skip
from hatlib.system import atomic

from . import PAGE, claims, evaluate, page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=f"Measures the survey's claims and writes {PAGE.name}."
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    asked = parser.parse_args()
    rows = []
    for one in claims():
        rows.append(evaluate(one))
        print(f"{one.key:20} {rows[-1].verdict:24} {rows[-1].text}", flush=True)
    atomic.write_text(asked.out, page(rows))
    print(
        ", ".join(
            f"{count} {verdict}" for verdict, count in Counter(row.verdict for row in rows).items()
        )
    )
    print(f"hatlib {hatlib.__version__} wrote {os.path.relpath(asked.out)}")


if __name__ == "__main__":
    main()
