"""The systolic accelerator's programs: a table of their layers."""

import numpy as np
import pandas as pd

from hwsim.blocks.systolic.isa import Opcode
from hwsim.models.processors.array import scale_sim_cycles
from hwsim.network.integer import Conv, Dense

__all__ = ["layer_table"]


def _scale_sim_cycles(config, layer, pixels):
    groups = getattr(layer, "groups", 1)
    channels, taps = len(layer.weights) // groups, layer.weights[0].size
    shape = (pixels, channels, taps, groups)
    return int(scale_sim_cycles(config.dataflow, config.rows, config.cols, *shape))


def layer_table(program, timing):
    """The layers of a program, a row each, in the order of their first instructions.

    Parameters
    ----------
    program : hwsim.compiler.Program
    timing : ProgramTiming

    Returns
    -------
    pandas.DataFrame
        ``layer``, ``op``, ``macs``; ``cycles``, from the end of the layers before to its own end,
        which is when its last code is written; ``array_cycles``, from the end of the folds of the
        layers before to that of its own, of which ``stall_<cause>_cycles`` are spent between folds
        (`hwsim.blocks.systolic.program_timing.CAUSES`); ``utilization``, useful MACs in what the
        array can do in ``array_cycles``; ``limit``, the same for the cycles that the folds take at
        least, with the edges of the array empty; ``bytes_read``, ``bytes_written``;
        ``scale_sim_cycles``, see `hwsim.models.processors.array`. What does not apply is missing
        (NaN, NA).
    """
    config, network = program.config, program.network
    elements = config.rows * config.cols
    least: dict[int, int] = {}
    for instruction in program.instructions:
        if instruction.opcode == Opcode.CONVOLVE:
            cycles = instruction["folds"] * max(instruction["pixels"], config.rows)
            least[instruction.layer] = least.get(instruction.layer, 0) + cycles
    rows = []
    for times in timing.layers:
        layer = network.layers[times.layer - 1] if times.layer else None
        macs = pixels = 0
        if isinstance(layer, Conv | Dense):
            pixels = int(np.prod(network.tensors[layer.output].shape[1:]))
            macs = layer.weights.size * pixels
        rows.append(
            {
                "layer": layer.name if layer else "input",
                "op": type(layer).__name__ if layer else "",
                "macs": macs,
                "cycles": times.cycles,
                "array_cycles": times.array_cycles,
                **{f"stall_{cause}_cycles": count for cause, count in times.stalls.items()},
                "utilization": macs / (times.array_cycles * elements) if macs else np.nan,
                "limit": macs / (least[times.layer] * elements) if macs else np.nan,
                "bytes_read": times.bytes_read,
                "bytes_written": times.bytes_written,
                "scale_sim_cycles": _scale_sim_cycles(config, layer, pixels) if macs else None,
            }
        )
    return pd.DataFrame(rows).astype({"scale_sim_cycles": "Int64"})
