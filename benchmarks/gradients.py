"""Gradients of every operator beside PyTorch's autograd and central differences, in float64.

Differences are relative to the largest gradient of the case, or 1.
"""

import argparse
import json
from dataclasses import replace

import numpy as np

from hwsim.models.reference.backward import LOSSES

from . import record
from .gradient_cases import (
    CASES,
    central_differences,
    difference,
    differences,
    loss_case,
    torch_gradients,
    torch_loss,
)

HEADS = ["operator", "cases", "gradients", "PyTorch", "central differences", "in integers"]
LINEAR = (
    "Add",
    "Conv",
    "Conv, one axis",
    "Conv, three axes",
    "Gemm",
    "MatMul",
    "Mul",
    "Sum",
    "SumPool",
)


def measure(name, cases, has_torch):
    """Largest differences over random cases of an operator."""
    row = {"operator": name, "cases": cases, "gradients": 0, "torch": 0.0, "differences": 0.0}
    for seed in range(cases):
        rng = np.random.default_rng(seed)
        case = CASES[name](rng)
        dy = rng.normal(size=case.forward().shape)
        found = case.backward(dy)
        row["gradients"] += sum(gradient.size for gradient in found)
        _note(row, "differences", found, differences(case, dy))
        if has_torch:
            _note(row, "torch", found, torch_gradients(case, dy))
    return row


def measure_loss(name, cases, has_torch):
    """The same for a loss."""
    row = {"operator": name, "cases": cases, "gradients": 0, "torch": 0.0, "differences": 0.0}
    for seed in range(cases):
        outputs, target = loss_case(name, np.random.default_rng(seed))
        found = [LOSSES[name](outputs, target)[1]]
        row["gradients"] += found[0].size
        loss = LOSSES[name]
        _note(
            row,
            "differences",
            found,
            [central_differences(lambda x, loss=loss, goal=target: loss(x, goal)[0], outputs)],
        )
        if has_torch:
            _note(row, "torch", found, [torch_loss(name, outputs, target)[1]])
    return row


def mismatches(name, cases):
    """Integer gradients that are not what exact differences give."""
    wrong = 0
    for seed in range(cases):
        rng = np.random.default_rng(seed)
        drawn = CASES[name](rng)
        attributes = drawn.attributes | ({"alpha": 1, "beta": 1} if name == "Gemm" else {})
        inputs = tuple(rng.integers(-(2**15), 2**15, x.shape) for x in drawn.inputs)
        case = replace(drawn, attributes=attributes, inputs=inputs)
        dy = rng.integers(-(2**15), 2**15, case.forward().shape)
        for found, expected in zip(case.backward(dy), differences(case, dy, 1), strict=True):
            wrong += int((found != expected).sum())
    return wrong


def _note(row, key, found, expected):
    row[key] = max(row[key], *(difference(a, b) for a, b in zip(found, expected, strict=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=50, help="per operator; default: %(default)s")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--report", metavar="FOLDER")
    arguments = parser.parse_args()
    torch_version = record.package_version("torch")
    has_torch = torch_version is not None
    facts = record.conditions(
        "python -m benchmarks.gradients", **({"torch": torch_version} if has_torch else {})
    )
    rows = [measure(name, arguments.cases, has_torch) for name in CASES]
    rows += [measure_loss(name, arguments.cases, has_torch) for name in LOSSES]
    for row in rows:
        linear = row["operator"] in LINEAR
        row["mismatches"] = mismatches(row["operator"], arguments.cases) if linear else None
    result = {"conditions": facts, "rows": rows}
    cells = [
        [
            row["operator"],
            row["cases"],
            row["gradients"],
            f"{row['torch']:.1e}" if has_torch else None,
            f"{row['differences']:.1e}",
            None if row["mismatches"] is None else f"{row['mismatches']} differ",
        ]
        for row in rows
    ]
    text = (
        "# Gradients\n\n"
        "Random geometry (kernel, stride, padding on each side, dilation, groups, ceil mode), "
        "float64. The largest difference, relative to the largest gradient of its case or 1, from "
        "PyTorch's autograd and from central differences with a step of 2^-17 (which are off by "
        "up to 1e-7 themselves). In integers of 16 bits, differences over a step of 1 are exact.\n"
        f"\n{record.table(HEADS, cells)}\n\n{record.describe(facts)}\n"
    )
    if arguments.report:
        from pathlib import Path

        record.write(Path(arguments.report), "gradients", result, text)
    print(json.dumps(result) if arguments.json else text)


if __name__ == "__main__":
    main()
