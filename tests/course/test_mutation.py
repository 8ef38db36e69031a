"""Mutations of every solution: a small change of its code has to fail its check.

The changes are generic: another sign, off by one, swapped axes, a constant in place of an argument,
a call left out, a comparison moved, an argument changed in place, another type. Those that pass all
the same are listed with the reason why they are right.

As a program it prints what survives:  python -m tests.course.test_mutation
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import random
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from hatlib.course import exercises
from hatlib.course.exercises.probes import Draw
from hatlib.course.exercises.registry import Exercise

SEED = 0
MOST = 100  # mutants of one solution
ALL = exercises.all_exercises()

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What a node of the code can become: (kind of change, the new node)."""
    match node:
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield "sign", _with(node, op=OPERATORS[type(operator)]())
        case ast.UnaryOp(op=ast.USub()):
            yield "sign", node.operand
        case ast.Constant(value=bool()):
            yield "switch", _with(node, value=not node.value)
        case ast.Constant(value=int(value)):
            yield from (("off by one", _with(node, value=value + step)) for step in (1, -1))
        case ast.Constant(value=float(value)):
            yield "constant", _with(node, value=value * 1.1 + 0.01)
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            yield "comparison", _with(node, ops=[COMPARISONS[type(operator)]()])
        case ast.Tuple(elts=[first, second, *rest], ctx=ast.Load()):
            yield "axes swapped", _with(node, elts=[second, first, *rest])
        case ast.Call(func=ast.Attribute(value=inner), args=arguments):
            if len(arguments) >= 2 and not isinstance(arguments[1], ast.Starred):
                swapped = [arguments[1], arguments[0], *arguments[2:]]
                yield "axes swapped", _with(node, args=swapped)
            if not isinstance(inner, ast.Name) or inner.id not in ("np", "torch", "F", "metrics"):
                yield "call left out", inner
            elif len(arguments) == 1 and not node.keywords:
                yield "call left out", arguments[0]
        case ast.Call(func=ast.Name(), args=[only], keywords=[]):
            yield "call left out", only
        case ast.Slice(lower=lower, upper=upper) if lower is not None and upper is not None:
            yield "slice", _with(node, lower=None)


def _with(node: Any, **fields: Any) -> Any:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


class Replace(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST):
        self.old = old
        self.new = new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)


def tree_of(item: Exercise) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(item.solution)))


def body_nodes(tree: ast.Module) -> list[ast.AST]:
    """The nodes of the function's body, without docstring and annotations."""
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    nodes = []
    for statement in function.body[1:]:
        skipped = [
            inner
            for node in ast.walk(statement)
            for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
            if part is not None
            for inner in ast.walk(part)
        ]
        nodes += [node for node in ast.walk(statement) if node not in skipped]
    return nodes


def built(item: Exercise, tree: ast.Module) -> Callable[..., Any]:
    """The function of a tree, with the names of the solution's module."""
    names = dict(vars(inspect.getmodule(item.solution)))
    exec(compile(tree, f"<{item.id}>", "exec", dont_inherit=True), names)
    return names[item.name]


def of_code(item: Exercise) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Mutants by one changed node each: (what was changed, the function)."""
    count = len(body_nodes(tree_of(item)))
    for k in range(count):
        for number in range(3):
            tree = tree_of(item)
            node = body_nodes(tree)[k]
            found = list(changes(node))
            if number >= len(found):
                break
            kind, new = found[number]
            before, after = ast.unparse(node), ast.unparse(new)
            changed = ast.fix_missing_locations(Replace(node, new).visit(tree))
            with contextlib.suppress(SyntaxError):
                if before != after:
                    yield f"{kind}: {before} → {after}", built(item, changed)


def of_arguments(item: Exercise) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Mutants that take a number from the first case instead of an argument."""
    first = next(iter(item.cases(Draw()).values()), ())
    for name, value in zip(inspect.signature(item.solution).parameters, first, strict=False):
        if isinstance(value, int | float) and not isinstance(value, bool):
            tree = tree_of(item)
            function = tree.body[0]
            assert isinstance(function, ast.FunctionDef)
            function.body.insert(1, ast.parse(f"{name} = {value!r}").body[0])
            ast.fix_missing_locations(tree)
            yield f"constant in place of an argument: {name} = {value!r}", built(item, tree)


def of_results(item: Exercise) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Mutants that change an argument in place, or return another type."""

    def wrapped(change: Callable[[tuple[Any, ...], Any], Any]) -> Callable[..., Any]:
        return lambda *arguments: change(arguments, item.solution(*arguments))

    cases = list(item.cases(Draw()).values())
    for k, argument in enumerate(cases[0] if cases else ()):
        if isinstance(argument, np.ndarray | torch.Tensor | list):

            def in_place(arguments: tuple[Any, ...], result: Any, k: int = k) -> Any:
                result = copy.deepcopy(result)
                place = arguments[k]
                while isinstance(place, list):
                    if isinstance(place[0], str | int | float | tuple) or callable(place[0]):
                        place.reverse()
                        return result
                    place = place[0]
                place += 1
                return result

            yield f"in place: argument {k + 1}", wrapped(in_place)
    types: dict[str, Callable[[Any], Any]] = {
        "tuple of one": lambda result: (result,),
        "text": str,
        "a list around it": lambda result: [result],
        "nothing": lambda result: None,
        "double": lambda x: x.double() if isinstance(x, torch.Tensor) else np.float32(x),
        "list": lambda x: x.tolist(),
        "negative": lambda x: -x,
        "an axis more": lambda x: x[None],
        "without the first": lambda x: x[1:],
    }
    for name, change in types.items():

        def another_type(
            arguments: tuple[Any, ...], x: Any, change: Callable[[Any], Any] = change
        ) -> Any:
            return change(x)

        yield f"type: {name}", wrapped(another_type)


def mutants(item: Exercise) -> list[tuple[str, Callable[..., Any]]]:
    """At most MOST mutants of a solution, chosen by the seed."""
    every = [*of_arguments(item), *of_results(item)]
    code = list(of_code(item))
    chosen = random.Random(f"{SEED} {item.id}")
    left = MOST - len(every)
    return every + (code if len(code) <= left else chosen.sample(code, left))


def survivors(item: Exercise) -> list[str]:
    """What was changed in the mutants that pass the check."""
    with np.errstate(all="ignore"):
        return [
            name
            for name, mutant in mutants(item)
            if exercises.verdict(item.id, mutant)[0] != "wrong"
        ]


# What is right in every solution: regular expression → why.
ALWAYS = {
    r"type: double": "a number of numpy is a number, too",
    r"type: list": "a number of numpy made a number of Python",
    r"call left out: float\(": "a number of numpy is a number, too",
    r"axes swapped: \((\d), (\d)\) → \(\2, \1\)": "a mean or a sum over both axes",
    r"axes swapped: \w+\.transpose\((-?\d), (-?\d)\)": "the same two axes",
    r"switch: True → False": "strict=True only finds lengths that differ",
}
# Exercise → regular expression → why such a mutant is right, or no business of the check.
EVEN = "a comparison that is even only for equal numbers, where both are right"
RIGHT: dict[str, dict[str, str]] = {
    "00.3": {r"call left out: .*float\(\)": "uint8 divided by 255 is float32 as well"},
    "00.4": {
        r"off by one: 0 → -1": "the first image of one is the last",
        r"call left out: torch.floor": "the conversion to uint8 truncates what is above 0",
    },
    "01.2": {r"off by one: 2 → 1": "n − 1 − pixel is negative and counts from the end"},
    "01.4": {
        r"sign: image \+ sigma": "noise is as often below 0 as above",
        r"axes swapped: np.clip": "the larger of two, in either order",
        r"call left out: np.floor": "the conversion to uint8 truncates what is above 0",
        r"constant: 0.5 → 0.56": "a sixteenth of a level is lost in the noise",
    },
    "02.1": {
        r"call left out: [ab].astype": "one of the two in float64 makes the difference so",
        r"comparison: mse > 0 → mse >= 0": "without the guard numpy says infinite, with a warning",
        r"off by one: 0 → -1": "without the guard numpy says infinite, with a warning",
    },
    "02.2": {
        r"call left out: np.array": "numpy multiplies by a list as well",
        r"call left out: image.astype": "the division makes floats",
    },
    "02.4": {
        r"call left out: int\(": "an index of numpy",
        r"sign: best \+ 1|off by one: [24] →": "another pair with the property",
    },
    "02.5": {r"axes swapped: \(x, y\)|axes swapped: \(u.mean": "SSIM is the same for y and x"},
    "04.2": {r"axes swapped: x.reshape": "N and C are next to each other until the end"},
    "05.5": {r"off by one: 1 → 2": "numpy takes any negative size for the one to be found"},
    "05.6": {r"sign: -2 → 2": "of four axes number 2 is the last but one"},
    "09.1": {
        r"constant: 1.0 → 1.11": "the smaller of rise and fall counts, and the other is 1",
        r"comparison": EVEN,
    },
    "09.3": {r"call left out": "a tensor without axes is a number"},
    "09.4": {r"axes swapped: F.l1_loss": "an absolute difference has no sign"},
    "10.1": {
        r"type: text": "it is text",
        r"axes swapped: metrics.psnr": "PSNR is the same for HR and SR",
        r"comparison: a <= half|sign: half": EVEN,
    },
    "10.3": {r"comparison: difference": EVEN},
    "10.2": {r"comparison: error": EVEN},
    "10.4": {
        r"off by one: 0 → 1": "another seed",
        r"constant: 2.5 → 2.76": "less than what another seed changes",
    },
    "11.4": {
        r"axes swapped: \(": "the order of the eight does not change their mean",
        r"axes swapped: \w+.swapaxes": "the same two axes",
    },
}


def reason(item: Exercise, name: str) -> str:
    """Why a mutant is right, or ""."""
    known = ALWAYS | RIGHT.get(item.id, {})
    return next((why for pattern, why in known.items() if re.match(pattern, name)), "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)
def test_no_mutant_of_a_solution_passes_its_check(item: Exercise) -> None:
    unknown = [name for name in survivors(item) if not reason(item, name)]
    assert not unknown


def main() -> None:
    """Prints the survivors of each exercise."""
    total = left = 0
    for item in ALL:
        count, found = len(mutants(item)), survivors(item)
        total, left = total + count, left + len(found)
        print(f"{item.id}  {count - len(found)} of {count} rejected")
        for name in found:
            print(f"      {name}: {reason(item, name) or 'NOT KNOWN'}")
    print(f"{total - left} of {total} rejected")


if __name__ == "__main__":
    main()
