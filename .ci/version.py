"""Writes a version into every file that names one: python .ci/version.py 1.0.0

`hatlib/version.py` is the place that has it; the others cannot read it: the citation, and what
Colab opens and installs, which is the release and not what came after it. Tests keep them in step.
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPOSITORY = "github.com/hatlib/hatlib"
# file or pattern → (what to find, what to put there)
PLACES = {
    "hatlib/version.py": [(r'(__version__ = )"[^"]*"', r'\1"{version}"')],
    "CITATION.cff": [
        (r"(?m)^version: .*", "version: {version}"),
        (r"(?m)^date-released: .*", "date-released: {today}"),
    ],
    "notebooks/*.ipynb": [
        (rf"(git\+https://{REPOSITORY})(@v[\w.]+)?", r"\1@v{version}"),
        (r"(/github/hatlib/hatlib/blob)/(?:main|v[\w.]+)/notebooks", r"\1/v{version}/notebooks"),
    ],
}


def main() -> None:
    """Changes each file, or none where a place is missing."""
    if len(sys.argv) != 2 or not re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", sys.argv[1]):
        sys.exit(f"one version like 1.0.0 or 1.0.0rc1, please: python {sys.argv[0]} 1.0.0")
    words = {"version": sys.argv[1], "today": datetime.date.today().isoformat()}
    changed = {}
    for pattern, rules in PLACES.items():
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            for find, put in rules:
                text, count = re.subn(find, put.format(**words), text)
                if count == 0:
                    sys.exit(f"{path} lacks {find}: nothing was changed")
            changed[path] = text
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{sys.argv[1]} in {len(changed)} files; CHANGELOG.md is yours")


main()
