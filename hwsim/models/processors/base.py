"""What all processors have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

__all__ = ["Cost", "Processor"]


@dataclass(frozen=True)
class Cost:
    """What a layer costs, beside the bytes that its feature maps and weights have.

    Members
    -------
    cycles : float
        That the device's arithmetic is busy with the whole batch.
    tiles : int
        Parts of equal cost that are loaded, computed and stored one after the other.
    ending : float
        Cycles after the last tile, once: a systolic array drains, a GPU starts another kernel.
    ending_bytes : int
        Bytes that cross the memory interface in that time.
    launches : int
        Kernels that are started one after the other.
    weight_passes, input_passes : int
        How often weights and inputs cross the memory interface.
    memory_bytes : int
        Bytes that cross it besides, such as partial sums; negative for those that are skipped.
    level_bytes : mapping of str to int
        Bytes that cross the interface of each level between the memory and the arithmetic.
    """

    cycles: float
    tiles: int
    ending: float = 0
    ending_bytes: int = 0
    launches: int = 1
    weight_passes: int = 1
    input_passes: int = 1
    memory_bytes: int = 0
    level_bytes: dict[str, int] = field(default_factory=dict)


class Processor(ABC):
    """How a class of devices computes.

    Parameters
    ----------
    device : hwsim.models.devices.Device
    fused : bool
        Whether the network is compiled: what follows a matrix product is done on its results.
    """

    streams_weights = False
    """Whether weights are loaded past the feature maps' store, ahead of the layers."""

    fuses = False
    """Whether layers are fused unless the user says otherwise."""

    def __init__(self, device, fused=False):
        self.device, self.fused = device, fused
        self.efficiency = device["compute_efficiency"]

    @property
    @abstractmethod
    def units(self):
        """Cores, multiprocessors or arrays."""

    def prepare(self, works, precision):
        """Work out in one go what `cost` will be asked for; there need be nothing."""
        return

    @abstractmethod
    def product(self, work, precision, lines):
        """The `Cost` of a layer's matrix product; the arithmetic is added to ``lines``."""

    def rate(self, precision):
        """Multiply-accumulates per cycle of one unit."""
        return self.device[f"{precision}_macs_per_cycle"]

    def peak(self, precision):
        """Multiply-accumulates per second of the device."""
        return self.units * self.rate(precision) * self.device["clock"]

    def element_cycles(self, operations):
        """Cycles of operations beside the matrix products."""
        lanes = self.units * self.device["element_ops_per_cycle"]
        return operations / (lanes * self.efficiency)

    def elements(self, work, lines):
        """Cycles of a layer's operations beside the matrix product."""
        lanes = self.units * self.device["element_ops_per_cycle"]
        cycles = self.element_cycles(work.element_ops)
        lines.append(
            f"vector    {work.element_ops:,} operations / ({lanes:g} per cycle x"
            f" {self.efficiency:g}) = {cycles:,.0f} cycles"
        )
        return cycles

    def cost(self, work, precision, lines):
        """The `Cost` of a layer; the arithmetic is added to ``lines``."""
        if not work.gemm:
            return Cost(self.elements(work, lines), int(self.device["overlap_tiles"]))
        gemm = work.gemm
        lines.append(
            f"product   M {gemm.m:,} x N {gemm.n:,} x K {gemm.k:,} x {gemm.groups:,} groups"
            f" = {gemm.macs:,} MAC in {precision}"
        )
        cost = self.product(work, precision, lines)
        if not work.element_ops:
            return cost
        return replace(cost, cycles=cost.cycles + self.elements(work, lines))

    def traffic(self, work, cost, precision, weights, reads, free):
        """Bytes of weights and of everything else that a layer reads from memory.

        Parameters
        ----------
        work : Work
        cost : Cost
        precision : str
        weights, reads : int
            Bytes of its weights, and of its feature maps that are not on chip.
        free : int
            Bytes on chip that no feature map occupies from layer to layer.

        Returns
        -------
        (int, int)
        """
        reads = max(0, reads * cost.input_passes + cost.memory_bytes)
        return weights * cost.weight_passes, reads

    def memory_seconds(self, size):
        """Seconds in which ``size`` bytes cross the memory interface."""
        return size / (self.device["memory_bandwidth"] * self.device["memory_efficiency"])
