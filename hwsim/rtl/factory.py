"""From a stage of a plan to the unit that computes it."""

from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.elementwise import AddConfig, MulConfig, TableConfig
from hwsim.blocks.lrn import LRNConfig
from hwsim.blocks.midrange import MidrangeConfig
from hwsim.blocks.pad import PadConfig
from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig

from .conv import Conv, Dense
from .elementwise import Add, Mul, Table
from .lrn import LRN
from .midrange import Midrange
from .pad import Pad
from .pool import GlobalPool, Pool
from .reshape import Concat, Fork, Resize

__all__ = ["make_unit"]


def make_unit(stage, network):
    """The component of a `hwsim.blocks.streaming.Stage`, with its layer's constants in it.

    network : IntegerNetwork that the layer belongs to.
    """
    config, layer, queue = stage.config, stage.layer, stage.queues[0]
    zero_points = tuple(network.tensors[name].zero_point for name in layer.inputs) if layer else ()
    match config:
        case ConvConfig():
            return Conv(config, layer.weights, layer.bias, layer.requantize, queue)
        case DenseConfig():
            return Dense(config, layer.weights, layer.bias, layer.requantize, queue)
        case PoolConfig():
            return Pool(config, layer.requantize, layer.counts, queue)
        case GlobalPoolConfig():
            return GlobalPool(config, layer.requantize, queue)
        case AddConfig():
            return Add(config, layer.multipliers, layer.requantize, zero_points, queue)
        case MulConfig():
            return Mul(config, layer.requantize, zero_points, queue)
        case TableConfig():
            return Table(config, layer.table, queue)
        case LRNConfig():
            return LRN(config, layer.table, layer.requantize, queue)
        case MidrangeConfig():
            return Midrange(config, queue)
        case PadConfig():
            return Pad(config, queue)
        case ConcatConfig():
            return Concat(config, queue)
        case ResizeConfig():
            return Resize(config, queue)
        case ForkConfig():
            return Fork(config, stage.queues)
    raise TypeError(f"no unit for {type(config).__name__}")
