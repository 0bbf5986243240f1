import numpy as np
import pytest

import hwsim
from hwsim.rtl.build import build
from hwsim.validation.networks import NetworkBuilder


@pytest.fixture(scope="session")
def design():
    """A convolution of two multipliers, quick to synthesize."""
    b = NetworkBuilder(np.random.default_rng(1), (1, 6, 6))
    return build(b.build(b.conv(b.input, 1, (2, 2)), "tiny"), hwsim.Streaming(multipliers=2))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Synthesis runs of this session, kept in a folder of their own."""
    folder = tmp_path_factory.mktemp("kept") / "synthesis"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE", str(folder))
        yield folder
