"""What the systolic accelerator cannot carry out."""

from hwsim.blocks.systolic.config import LARGEST_ACCUMULATOR_ROWS
from hwsim.blocks.systolic.isa import encode
from hwsim.blocks.systolic.vector import SQUARES_BITS
from hwsim.network.integer import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    Mul,
    Pad,
    Pool,
    Shuffle,
    Table,
    largest_square_sum,
)
from hwsim.network.network import NetworkError

from .constants import chip_bias

__all__ = ["check_layer", "check_program"]

ACCEPTED = (Add, Concat, Conv, Dense, LRN, Mul, Pad, Pool, Shuffle, Table)


def check_layer(layer, network, config):
    """Refuse a layer that the accelerator cannot carry out."""

    def refuse(what):
        raise NetworkError(f"layer {layer.name}: {what}")

    tensors = [network.tensors[name] for name in (*layer.inputs, layer.output)]
    for tensor in tensors:
        if tensor.bits > 8:
            refuse(f"the systolic accelerator takes codes of up to 8 bits, not {tensor.bits}")
    if not isinstance(layer, ACCEPTED):
        refuse(f"the systolic accelerator does not compute {type(layer).__name__}")
    if isinstance(layer, Mul) and tensors[0].shape != tensors[1].shape:
        refuse("the systolic accelerator multiplies maps of equal shapes only")
    if isinstance(layer, Pad) and (layer.mode, layer.value) != ("constant", tensors[0].zero_point):
        refuse("the systolic accelerator pads with the zero point only")
    if isinstance(layer, Conv) and layer.mode != "constant":
        refuse("the systolic accelerator pads with the zero point only")
    if getattr(getattr(layer, "requantize", None), "rounding", "even") != "even":
        refuse("the systolic accelerator rounds to nearest only")
    if isinstance(layer, LRN):
        _check_lrn(layer, tensors[0], config, refuse)
    if isinstance(layer, Conv | Dense):
        if layer.weight_bits > 8:
            bits = layer.weight_bits
            refuse(f"the systolic accelerator takes weights of up to 8 bits, not {bits}")
        width = tensors[-1].shape[2]
        if width > LARGEST_ACCUMULATOR_ROWS:
            refuse(f"its rows have {width} pixels, more than {LARGEST_ACCUMULATOR_ROWS}")
        if width > config.accumulator_rows:
            raise ValueError(
                f"accumulator_rows must be at least {1 << (width - 1).bit_length()} for layer "
                f"{layer.name}, not {config.accumulator_rows}"
            )
        if not _sums_fit(layer, tensors[0]):
            refuse("its sums do not fit into 32 bits")


def _sums_fit(layer, tensor):
    """Whether all sums of a convolution or dense layer have at most 32 bits."""
    bias = chip_bias(layer, tensor)
    # A product is less than 2**15.
    if layer.weights[0].size <= 1 << 15 and abs(bias).max() <= 1 << 30:
        return True
    low, high = layer.accumulator_bounds(tensor)
    return min(low, bias.min()) >= -(1 << 31) and max(high, bias.max()) < 1 << 31


def _check_lrn(layer, tensor, config, refuse):
    if layer.within:
        refuse("the systolic accelerator normalizes across channels only")
    precision = config.factor_precision
    if layer.precision > precision:
        refuse(f"factor_precision must be at least {layer.precision} for it, not {precision}")
    largest = largest_square_sum(tensor, layer.size)
    if largest >= 1 << SQUARES_BITS:
        refuse(f"its sums of squares, up to {largest}, do not fit into the table of factors")


def check_program(program):
    """Refuse a program with numbers that do not fit into its instructions."""
    for instruction in program.instructions:
        try:
            encode(instruction)
        except ValueError as error:
            layer = program.network.layers[instruction.layer - 1]
            raise NetworkError(f"layer {layer.name}: {error}") from None
    bits = (program.memory_bytes - 1).bit_length()
    if bits > program.config.address_bits:
        raise ValueError(
            f"address_bits must be at least {bits} for {program.memory_bytes:,} bytes of memory, "
            f"not {program.config.address_bits}"
        )
