"""Run a compiled network, in NumPy and at RTL, and compare all its feature maps."""

import numpy as np

from hwsim.models.reference import integer
from hwsim.models.reference.program import run_program
from hwsim.validation.networks import images_for


def interpret(program, codes):
    """(what each instruction of the vector unit wrote, memory) after a run in NumPy."""
    machine = run_program(program, codes)
    assert not machine.weights
    assert not machine.parameters
    cols = program.config.cols
    rows = [np.zeros((0, cols), np.int8)]
    rows += [np.pad(codes, ((0, 0), (0, cols - codes.shape[1]))) for codes in machine.writes]
    return np.concatenate(rows), machine.memory


def assert_equal_to_reference(program, run=interpret, **options):
    """All feature maps of a program are those of the network, and so are the outputs in memory."""
    network = program.network
    codes = images_for(network, 1, 0)
    expected = integer.run(network, codes)
    writes, memory = run(program, codes[0], **options)
    maps = program.maps(writes)
    assert maps.keys() == network.tensors.keys() - {network.input.name}
    for name, found in maps.items():
        np.testing.assert_array_equal(found, expected[name][0], name)
    for tensor in network.outputs:
        found = program.output(memory, tensor.name)
        np.testing.assert_array_equal(found, expected[tensor.name][0], tensor.name)
