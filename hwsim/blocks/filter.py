"""A chain of layers on pictures, a whole pixel per clock: the plan of an image filter."""

from hwsim.network import integer
from hwsim.network.network import NetworkError

from .conv import ConvConfig
from .midrange import MidrangeConfig
from .pool import PoolConfig
from .stream import Frame
from .streaming import Stage, Streaming, StreamingPlan

__all__ = ["plan_filter"]


def plan_filter(network):
    """Every unit unrolled: a beat carries all channels of a pixel, a window takes one cycle.

    At most one layer may hold back those before it, by padding beyond the reach of its kernel; the
    others take a pixel whenever there is one. So the pipeline is as fast as its slowest unit, and
    no queue is deeper than the unit before it needs.

    Parameters
    ----------
    network : IntegerNetwork
        A chain of convolutions, pools and midranges, as `hwsim.network.filters` makes it.

    Returns
    -------
    StreamingPlan

    Raises
    ------
    NetworkError
        For another layer.
    """
    stages: list[Stage] = []
    for layer in network.layers:
        source, output = (network.tensors[name] for name in (layer.inputs[0], layer.output))
        channels, height, width = source.shape
        frame = Frame(height, width, channels, channels, source.bits, source.signed)
        config: ConvConfig | PoolConfig | MidrangeConfig
        match layer:
            case integer.Conv():
                taps = layer.weights[0].size
                config = ConvConfig.for_layer(
                    layer, frame, source, output, simd=taps, pe=len(layer.weights), fixed=True
                )
            case integer.Pool():
                config = PoolConfig.for_layer(layer, frame, source, output)
            case integer.Midrange():
                config = MidrangeConfig.for_layer(layer, frame, source, output)
            case _:
                raise NetworkError(f"no unit of an image filter computes {type(layer).__name__}")
        before = stages[-1].name if stages else ""
        stages.append(Stage(layer.name, config, ((before, 0),), layer, (config.queue,)))
    interval = max(stage.config.interval for stage in stages)
    return StreamingPlan(network, Streaming(cycles_per_image=interval), tuple(stages), interval)
