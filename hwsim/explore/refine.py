"""Slower looks at a design: events, the program's cycles, RTL simulation, synthesis."""

import shutil
from fractions import Fraction

import numpy as np

from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.timing import usual_memory
from hwsim.compiler.compile import compile_network
from hwsim.models import devices
from hwsim.models.cost import FAMILIES, cost
from hwsim.models.dataflow import streaming
from hwsim.models.dataflow.systolic_simulation import SharedMemory
from hwsim.models.dataflow.systolic_simulation import run as run_program
from hwsim.models.dataflow.workload import is_quantized
from hwsim.models.estimate import estimate
from hwsim.network.lower import lower
from hwsim.network.network import NetworkError

__all__ = ["FIDELITIES", "PLACED_LUTS", "events_of"]

# Images of an RTL simulation, at most.
_IMAGES = 2
_SEED = 0
PLACED_LUTS = 6000


def events_of(point):
    """Which fidelities below RTL there are for a point."""
    if point["architecture"] == "systolic" and _buildable(point):
        return ("events", "program")
    return ("events",)


def _buildable(point):
    return point["dataflow"] == "weight-stationary" and point["operand_bits"] == 8


def architecture(point):
    """The `hwsim.Streaming` or `hwsim.Systolic` that a point is.

    Raises
    ------
    ValueError
        If hwsim does not build such an array.
    """
    if point["architecture"] == "streaming":
        folding = ("multipliers", "cycles_per_image")
        return Streaming(**{name: point[name] for name in folding if name in point})
    if not _buildable(point):
        raise ValueError(
            f"an array with the dataflow {point['dataflow']} and {point['operand_bits']} bits is "
            "not built; weight-stationary with 8 bits is"
        )
    names = ("rows", "cols", "buffer_bytes", "accumulator_rows")
    return Systolic(**{name: point[name] for name in names}, packed=point.get("packed", False))


def _integer(network, integer):
    if integer is not None:
        return integer
    if not is_quantized(network):
        raise NetworkError(f"hardware runs integer networks, and {network.name} is not quantized")
    return lower(network)


def _times(cycles, images, clock_hz):
    return {"latency_s": cycles / clock_hz, "cycles": int(cycles), "images": images}


def events(network, integer, point):
    """Latency of the batch by the SimPy model, with contention for the memory."""
    clock, batch = point["clock_mhz"] * 1e6, point["batch"]
    bandwidth = point["memory_gb_per_s"] * 1e9
    if point["architecture"] == "systolic":
        if _buildable(point) and is_quantized(network):
            return _program_events(network, integer, point)
        device = devices.array(
            rows=point["rows"],
            cols=point["cols"],
            dataflow=point["dataflow"],
            clock_hz=clock,
            memory_bandwidth=bandwidth,
            scratchpad_size=point["buffer_bytes"],
            accumulator_rows=point["accumulator_rows"],
            precision=f"int{point['operand_bits']}",
        )
        (found,) = estimate(network, [device], batch=batch, precision=f"int{point['operand_bits']}")
        return _times(round(max(end for *_, end in found.timeline) * clock), batch, clock)
    plan = plan_streaming(_integer(network, integer), architecture(point))
    memory = streaming.Memory(bytes_per_cycle=max(1, int(bandwidth // clock)))
    ends = (-(-frame.lanes * frame.bits // 8) for frame in (plan.input, plan.output))
    pipeline = streaming.Pipeline(plan.actors, plan.edges, *ends)
    images = min(batch, 4)
    trace = streaming.run_shared([pipeline], memory, images)[0]
    return _times(trace.cycles, images, clock)


def _program_events(network, integer, point):
    compiled = compile_network(_integer(network, integer), architecture(point))
    clock, batch = point["clock_mhz"] * 1e6, point["batch"]
    beats = point["memory_gb_per_s"] * 1e9 / clock / compiled.config.axi_bytes
    share = min(Fraction(1), Fraction(beats).limit_denominator(64))
    shared = SharedMemory(
        memory=usual_memory(compiled.config),
        bandwidth=(max(1, share.numerator), share.denominator),
        total_bandwidth=share < 1,
    )
    cycles = run_program(compiled, shared).cycles
    return _times(cycles * batch, batch, clock)


def program(network, integer, point):
    """Latency of the compiled program on the accelerator: the cycles that the RTL takes."""
    compiled = compile_network(_integer(network, integer), architecture(point))
    cycles = compiled.timing().cycles
    clock, batch = point["clock_mhz"] * 1e6, point["batch"]
    return _times(cycles * batch, batch, clock)


def _build(network, integer, point):
    from hwsim.rtl.build import build

    found = architecture(point)
    _integer(network, integer)
    return build(network, found)


def rtl(network, integer, point):
    """Cycles of random images at RTL, each feature map compared with the reference."""
    from hwsim.sim.simulate import simulate

    design = _build(network, integer, point)
    (tensor,) = network.inputs
    count = min(point["batch"], _IMAGES)
    shape = (count, *tensor.shape[1:])
    images = np.random.default_rng(_SEED).uniform(0, 1, shape).astype(np.float32)
    result = simulate(design, images, lanes=1)
    clock = point["clock_mhz"] * 1e6
    return {
        **_times(result.cycles, count, clock),
        "mismatches": int(result.mismatches),
    }


def synthesis(network, integer, point):
    """Cells by Yosys, and by nextpnr the clock, where it knows the part and does not take too long.

    ``tools`` says which were at work. What is only compiled to WebAssembly places thousands of
    cells in minutes: designs of more than `PLACED_LUTS` tables are placed by a native nextpnr only.
    """
    from hwsim.synth import parts, synthesize

    if "device" not in point:
        raise ValueError("synthesis needs a device in the space")
    design = _build(network, integer, point)
    family = parts.load(point["device"]).family
    native = shutil.which(family.place) is not None
    large = family.name in FAMILIES and cost(design, family.name).lut > PLACED_LUTS
    placed = native or not large
    found = synthesize(design, point["device"], placed=placed, target_hz=point["clock_mhz"] * 1e6)
    numbers = {name: getattr(found, name) for name in ("lut", "ff", "dsp", "bram", "fmax_hz")}
    numbers = {name: value for name, value in numbers.items() if value is not None}
    numbers["tools"] = ", ".join(found.tools.values())
    problems = list(found.problems)
    if not placed:
        problems.append(f"not placed: more than {PLACED_LUTS:,} tables, and no native nextpnr")
    elif "fmax_hz" in numbers and numbers["fmax_hz"] < point["clock_mhz"] * 1e6:
        problems.append(f"the clock is {point['clock_mhz']:g} MHz, more than nextpnr reaches")
    if problems:
        numbers["problem"] = "; ".join(problems)
    return numbers


FIDELITIES = {"events": events, "program": program, "rtl": rtl, "synthesis": synthesis}
