"""What the GPU model predicts, beside what others measured: the errors as documented."""

import numpy as np
import pytest

from hwsim.models import devices
from hwsim.validation import CHECKS
from hwsim.validation.gpu import FITTED, kernels


def percent(points):
    return 100 * (points["predicted"] / points["measured"] - 1)


@pytest.fixture(scope="module")
def fitted():
    return CHECKS["gpu-kernels"]()


@pytest.fixture(scope="module")
def unfitted():
    return CHECKS["gpu-networks"]()


def test_every_kernel_is_there(fitted):
    assert len(fitted.points) == len(kernels()) == 1380
    assert dict(fitted.points["group"].value_counts(sort=False)) == {
        "gtx-1080-ti, int8": 182,
        "titan-x-pascal, int8": 182,
        "gtx-1080-ti, fp32": 254,
        "p100, fp32": 254,
        "p100, pseudo fp16": 254,
        "titan-x-pascal, fp32": 254,
    }


def test_kernels_are_predicted_as_documented(fitted):
    error = percent(fitted.points)
    assert error.abs().mean() == pytest.approx(18.3, abs=0.1)
    assert error.abs().median() == pytest.approx(8.2, abs=0.1)


def test_what_was_fitted_is_named_and_one_value_for_the_class(fitted):
    assert fitted.fitted.startswith(", ".join(FITTED))
    measured = {row.device for row, _, _ in kernels()}
    assert measured == {"gtx-1080-ti", "titan-x-pascal", "p100"}
    for name in FITTED:
        found = {devices.load(device).quantities[name] for device in measured}
        assert len(found) == 1
        assert found.pop().source.startswith("fitted: to the DeepBench kernels")


def test_networks_are_predicted_as_documented(unfitted):
    assert not unfitted.fitted
    assert len(unfitted.points) == 36
    error = percent(unfitted.points)
    assert error.abs().mean() == pytest.approx(12.4, abs=0.1)
    assert error.abs().max() < 24


def test_the_order_of_devices(unfitted):
    """Right for seven of nine networks."""
    table = unfitted.points.pivot(index="point", columns="group")
    predicted, measured = (
        {name: list(table.loc[name, column].sort_values().index) for name in table.index}
        for column in ("predicted", "measured")
    )
    # Two were measured faster on the Titan X than on the GTX 1080 Ti, which exceeds it in clock and
    # bandwidth; the hosts differed.
    wrong = {name for name in predicted if predicted[name] != measured[name]}
    assert wrong == {"resnet18", "vgg19"}
    for name in wrong:
        assert predicted[name][2:] == measured[name][2:]


def test_equal_runs_give_equal_predictions(fitted):
    again = CHECKS["gpu-kernels"]()
    assert np.array_equal(again.points["predicted"], fitted.points["predicted"])
