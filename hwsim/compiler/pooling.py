"""How a pool is cut up for the line memory of the vector unit."""

from dataclasses import dataclass
from math import gcd

from hwsim.blocks.systolic.vector import POOL_WINDOWS

__all__ = ["Pass", "passes"]


@dataclass(frozen=True)
class Pass:
    """Windows along one axis that one instruction makes.

    Members
    -------
    outputs : range
        Their numbers.
    start : int
        Place in the map of the first pixel that is read, perhaps outside.
    pace : int
        From a pixel that is read to the next.
    kernel, window, ahead : int
        Pixels of a window, from a window to the next, of the first window before ``start``; of
        those that are read.
    """

    outputs: range
    start: int
    pace: int
    kernel: int
    window: int
    ahead: int

    @property
    def pixels(self):
        """Pixels that are read, or lie beyond the end of the map."""
        return (len(self.outputs) - 1) * self.window + self.kernel - self.ahead


def passes(layer, axis, outputs, most):
    """`Pass` by `Pass` what makes the outputs (first, last) of a `Pool` along an axis.

    There are several where more than `POOL_WINDOWS` windows have a pixel in common, where windows
    do not all read the same pixels because of a dilation, and for more than ``most`` outputs.
    """
    kernel, stride, dilation, pad = (
        values[axis] for values in (layer.kernel, layer.strides, layer.dilations, layer.pads)
    )
    first, last = outputs
    # Of windows of a pixel each, the pixels between them are not read.
    pace = stride if kernel == 1 else dilation
    # Windows whose first pixels lie a whole number of paces apart, and that number.
    step, window = pace // gcd(pace, stride), stride // gcd(pace, stride)
    times = 1
    while -(-(last - first) // (step * times)) > POOL_WINDOWS and kernel > (
        POOL_WINDOWS * window * times
    ):
        times += 1
    step, window = step * times, window * times
    found = []
    for begin in range(first, min(first + step, last)):
        numbers = range(begin, last, step)
        for k in range(0, len(numbers), most):
            part = numbers[k : k + most]
            start = part[0] * stride - pad
            # Pixels of the first window before the map are not waited for, but the last one.
            ahead = min(max(-(start // pace), 0), kernel - 1)
            found.append(Pass(part, start + ahead * pace, pace, kernel, window, ahead))
    return found
