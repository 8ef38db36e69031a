"""The ten checks of notebook 08: the survey's HAB fails all, the fixed one none, and each mistake
alone fails its own check only.

The classes come from the notebook's cells: the tests run what a learner sees.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from hatlib.course.exercises.hat import hab_checks, hab_findings

listing: Any = import_module("experiments.claims.listing")
cell_with, defined = listing.cell_with, listing.defined
SURVEY, FIXED = cell_with("SurveyHAB"), cell_with("HAB")

# number of the check → one or several lists of (code of the fixed block, the mistake in its place)
MISTAKES: dict[int, list[list[tuple[str, str]]]] = {
    1: [
        [
            (
                "self.window_size, self.shift_size = window_size, shift_size",
                "self.shift_size = shift_size",
            )
        ]
    ],
    2: [
        [
            ("        x = x.view(b, h, w, c)  # 2\n", ""),
            ("x.permute(0, 3, 1, 2)", "x.view(b, h, w, c).permute(0, 3, 1, 2)"),
        ],
        [
            ("        attn_x = attn_x.reshape(b, h * w, c)\n", ""),
            ("x = shortcut + self", "x = shortcut.view(b, h, w, c) + self"),
            ("self.conv_scale * conv_x", "self.conv_scale * conv_x.view(b, h, w, c)"),
        ],
        [
            ("x = x.view(b, h, w, c)  # 2", "x = x.view(b, w, h, c).transpose(1, 2)"),
            (
                "self.conv_block(x.permute(0, 3, 1, 2))",
                "self.conv_block(x.transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2))",
            ),
            (
                "attn_x = attn_x.reshape(b, h * w, c)",
                "attn_x = attn_x.transpose(1, 2).reshape(b, h * w, c)",
            ),
        ],
    ],
    3: [
        [("x.permute(0, 3, 1, 2)", "x"), ("conv_x.permute(0, 2, 3, 1)", "conv_x")],
        [
            ("x.permute(0, 3, 1, 2)", "x.reshape(b, c, h, w)"),
            ("conv_x.permute(0, 2, 3, 1)", "conv_x"),
        ],
        [
            (
                "self.conv_block(x.permute(0, 3, 1, 2))",
                "self.conv_block(x.roll((-shift, -shift), (1, 2)).permute(0, 3, 1, 2))",
            )
        ],
    ],
    4: [
        [("        x = self.norm1(x)  # 4\n", "")],
        [
            (
                "self.conv_block(x.permute(0, 3, 1, 2))",
                "self.conv_block(shortcut.view(b, h, w, c).permute(0, 3, 1, 2))",
            )
        ],
        [
            (
                "        shortcut = x\n        x = self.norm1(x)  # 4\n",
                "        x = self.norm1(x)\n        shortcut = x\n",
            )
        ],
        [("self.mlp(self.norm2(x))", "self.mlp(x)")],
        [("self.mlp(self.norm2(x))", "self.norm2(self.mlp(x))")],
        [("return x + self.drop_path", "x = self.norm2(x)\n        return x + self.drop_path")],
        [("x = shortcut + self.drop_path(attn_x)", "x = self.drop_path(attn_x)")],
        [("return x + self.drop_path", "return self.drop_path")],
    ],
    5: [
        [
            ("window_partition(x, side).flatten(1, 2)", "window_partition(x, side)"),
            ("        windows = windows.unflatten(1, (side, side))\n", ""),
        ],
        [("        windows = windows.unflatten(1, (side, side))\n", "")],
    ],
    6: [
        [("self.attn(windows, rpi_sa, mask)", "self.attn(windows, mask=mask)")],
        [("self.attn(windows, rpi_sa, mask)", "self.attn(windows, rpi_sa.flip(0), mask)")],
    ],
    7: [
        [("mask = attn_mask if shift > 0 else None", "mask = None")],
        [("mask = attn_mask if shift > 0 else None", "mask = attn_mask")],
        [("mask = attn_mask if shift > 0 else None", "mask = 0 * attn_mask")],
    ],
    8: [
        [("attn_x = torch.roll(attn_x, shifts=(shift, shift), dims=(1, 2))  # 8", "pass")],
        [("shifts=(shift, shift), dims=(1, 2))  # 8", "shifts=(-shift, -shift), dims=(1, 2))")],
    ],
    9: [
        [("        drop_path=0.0,\n", ""), ("DropPath(drop_path)", "DropPath(0.0)")],
        [
            (
                "self.drop_path(attn_x) + self.conv_scale * conv_x",
                "self.drop_path(attn_x + self.conv_scale * conv_x)",
            )
        ],
        [("self.drop_path(self.mlp(self.norm2(x)))", "self.mlp(self.norm2(x))")],
        [("self.drop_path(attn_x)", "attn_x")],
    ],
    10: [
        [("mlp_ratio=2", "mlp_ratio=4")],
        [("window_size=16", "window_size=7")],
        [("conv_scale=0.01", "conv_scale=0.1")],
        [
            (
                "self.conv_scale = conv_scale",
                "self.conv_scale = nn.Parameter(torch.tensor(float(conv_scale)))",
            )
        ],
        [("CAB(dim, compress_ratio, squeeze_factor)", "CAB(dim)")],
        [
            ("        compress_ratio=3,\n        squeeze_factor=30,\n", ""),
            ("CAB(dim, compress_ratio, squeeze_factor)", "CAB(dim)"),
        ],
    ],
}
CASES = [(number, k) for number, cases in MISTAKES.items() for k in range(len(cases))]


def failing(block: Any) -> list[int]:
    return [k for k, mistake in enumerate(hab_findings(block).values(), start=1) if mistake]


def test_the_surveys_block_fails_all_ten_each_for_its_own_reason():
    findings = hab_findings(defined(SURVEY, "SurveyHAB"))
    assert len(findings) == 10 and len(set(findings.values())) == 10
    words = (
        "window_size",
        "window_partition",
        "convolution",
        "norm1",
        "takes tokens",
        "position index",
        "mask",
        "rolled back",
        "drop_path",
        "4·C",
    )
    for word, mistake in zip(words, findings.values(), strict=True):
        assert word in mistake, mistake
        assert "not reached" not in mistake and "no result" not in mistake


def test_the_fixed_block_passes_all_ten():
    assert failing(defined(FIXED, "HAB")) == []


@pytest.mark.parametrize("number, k", CASES)
def test_each_mistake_alone_fails_its_own_check_and_no_other(number, k):
    source = FIXED
    for right, wrong in MISTAKES[number][k]:
        assert source.count(right) == 1, right
        source = source.replace(right, wrong)
    assert failing(defined(source, "HAB")) == [number]


def test_every_check_has_a_mistake():
    assert list(MISTAKES) == list(range(1, 11))


def test_a_block_may_make_its_own_index_and_mask():
    """The survey's interface, forward(x, x_size), counts as well as the released one."""
    source = FIXED.replace(
        "def forward(self, x, x_size, rpi_sa, attn_mask):",
        """def forward(self, x, x_size):
        from hatlib.models.window_attention import attention_mask, relative_position_index
        rpi_sa = relative_position_index(self.window_size)
        attn_mask = attention_mask(*x_size, self.window_size, self.window_size // 2)""",
    )
    assert failing(defined(source, "HAB")) == []


def test_checks_are_printed_and_nothing_is_raised(capsys):
    hab_checks(defined(FIXED.replace("# 4", "; raise ValueError('on the way')"), "HAB"))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line[0] in "✓✗" for line in lines) == 10 and lines[-1].endswith(
        "of 10 checks passed"
    )
    assert max(map(len, lines)) <= 80
    assert sum("on the way" in line for line in lines) >= 5

    class Nothing(nn.Module):
        pass

    hab_checks(Nothing)
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 10 checks passed"


def test_what_is_wrong_is_not_revealed_to_whoever_still_looks_for_it(capsys):
    hab_checks(defined(SURVEY, "SurveyHAB"), reveal=False)
    assert capsys.readouterr().out.splitlines() == ["0 of 10 checks passed"]


def test_checks_leave_no_trace():
    block = defined(SURVEY, "SurveyHAB")
    before, state = block.forward.__globals__["window_partition"], torch.get_rng_state()
    hab_findings(block)
    assert block.forward.__globals__["window_partition"] is before
    assert torch.equal(torch.get_rng_state(), state)
