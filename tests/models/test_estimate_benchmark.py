"""What `benchmarks.estimate` compares."""

from benchmarks.estimate_peers import zigzag_missing
from benchmarks.resnet18 import resnet18
from hwsim.models.dataflow.workload import workload
from hwsim.network import load
from hwsim.network.counts import counts


def test_resnet18_is_the_published_one():
    network = load(resnet18())
    works = workload(network, fuse=True).works
    # torchvision: 1.814 GMAC.
    assert sum(work.macs for work in works) == 1_814_073_344
    # Its 11,689,512 parameters, with a bias for each pair of scale and shift.
    assert sum(params for params, _ in counts(network)) == 11_689_512 - 4_800
    assert sum(work.gemm is not None for work in works) == 21


def test_zigzag_is_missing(tmp_path):
    remedy = "pip install zigzag-dse==3.9.1 six in an environment of its own"
    text = f"ZigZag was not run: no --zigzag-python was given ({remedy})."
    assert zigzag_missing(None) == text
    path = tmp_path / "python"
    assert zigzag_missing(path) == (
        f"ZigZag was not run: {path} does not start: No such file or directory."
    )
