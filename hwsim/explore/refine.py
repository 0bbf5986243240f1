"""Slower looks at a design: events, the program's cycles, RTL simulation, synthesis."""

import numpy as np

from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.compiler.compile import compile_network
from hwsim.models import devices
from hwsim.models.dataflow import streaming
from hwsim.models.dataflow.workload import is_quantized
from hwsim.models.estimate import estimate
from hwsim.network.lower import lower
from hwsim.network.network import NetworkError

__all__ = ["FIDELITIES", "events_of"]

# Images of an RTL simulation, at most.
_IMAGES = 2
_SEED = 0


def events_of(point):
    """Which fidelities below RTL there are for a point."""
    if point["architecture"] == "systolic" and _buildable(point):
        return ("events", "program")
    return ("events",)


def _buildable(point):
    return point["dataflow"] == "weight-stationary" and point["operand_bits"] == 8


def _architecture(point):
    if point["architecture"] == "streaming":
        folding = ("multipliers", "cycles_per_image")
        return Streaming(**{name: point[name] for name in folding if name in point})
    if not _buildable(point):
        raise ValueError(
            f"an array with the dataflow {point['dataflow']} and {point['operand_bits']} bits is "
            "not built; weight-stationary with 8 bits is"
        )
    names = ("rows", "cols", "buffer_bytes", "accumulator_rows")
    return Systolic(**{name: point[name] for name in names})


def _integer(network, integer):
    if integer is not None:
        return integer
    if not is_quantized(network):
        raise NetworkError(f"hardware runs integer networks, and {network.name} is not quantized")
    return lower(network)


def _times(latency_s, batch, clock_hz):
    return {"latency_s": latency_s, "cycles": latency_s * clock_hz, "images": batch}


def events(network, integer, point):
    """Latency of the batch by the SimPy model, with contention for the memory."""
    clock, batch = point["clock_mhz"] * 1e6, point["batch"]
    bandwidth = point["memory_gb_per_s"] * 1e9
    if point["architecture"] == "systolic":
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
        return _times(max(end for *_, end in found.timeline), batch, clock)
    plan = plan_streaming(_integer(network, integer), _architecture(point))
    memory = streaming.Memory(bytes_per_cycle=max(1, int(bandwidth // clock)))
    ends = (-(-frame.lanes * frame.bits // 8) for frame in (plan.input, plan.output))
    pipeline = streaming.Pipeline(plan.actors, plan.edges, *ends)
    images = min(batch, 4)
    trace = streaming.run_shared([pipeline], memory, images)[0]
    return _times(trace.cycles / clock, images, clock)


def program(network, integer, point):
    """Latency of the compiled program on the accelerator: the cycles that the RTL takes."""
    compiled = compile_network(_integer(network, integer), _architecture(point))
    cycles = compiled.timing().cycles
    clock, batch = point["clock_mhz"] * 1e6, point["batch"]
    return _times(cycles * batch / clock, batch, clock)


def _build(network, integer, point):
    from hwsim.rtl.build import build

    architecture = _architecture(point)
    _integer(network, integer)
    return build(network, architecture)


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
        **_times(result.cycles / clock, count, clock),
        "mismatches": int(result.mismatches),
    }


def synthesis(network, integer, point):
    """Cells, and where open tools can place it the clock, of the design on its device."""
    from hwsim.synth import synthesize

    if "device" not in point:
        raise ValueError("synthesis needs a device in the space")
    found = synthesize(_build(network, integer, point), point["device"])
    numbers = {name: getattr(found, name) for name in ("lut", "ff", "dsp", "bram", "fmax_hz")}
    if found.problems:
        numbers["problem"] = "; ".join(found.problems)
    return {name: value for name, value in numbers.items() if value is not None}


FIDELITIES = {"events": events, "program": program, "rtl": rtl, "synthesis": synthesis}
