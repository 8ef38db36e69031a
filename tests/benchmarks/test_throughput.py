"""benchmarks/throughput.py measures each case in a process of its own."""

from __future__ import annotations

import pytest

from benchmarks import throughput


@pytest.mark.parametrize("case", throughput.CASES)
def test_each_case_runs_in_its_process(case: str) -> None:
    seconds, outside = throughput.in_a_process("srcnn", case, 1)
    assert seconds > 0 and (outside is None) == (case == "usual")
