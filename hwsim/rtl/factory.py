"""From a stage of a plan to the unit that computes it."""

from hwsim.blocks.argmax import ArgmaxConfig

__all__ = ["make_unit"]


def make_unit(stage, network):
    """The Amaranth component of a `hwsim.blocks.streaming.Stage` with the layer's constants in it."""
    raise ValueError(type(stage.config))
