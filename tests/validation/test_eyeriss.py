"""Eyeriss: the layers are those that were measured, and the errors those that are published."""

import pytest

from hwsim.validation import CHECKS
from hwsim.validation.eyeriss import layers


def test_layers_have_the_published_multiply_accumulates():
    """ISSCC 2016: 666 M for AlexNet, 15.3 G for VGG-16."""
    macs = {
        name: sum(work.macs for work in layers(name, 1).works) for name in ("AlexNet", "VGG-16")
    }
    assert macs["AlexNet"] == 665_784_864
    assert macs["VGG-16"] == pytest.approx(15.3e9, rel=0.01)


def test_measurements_are_all_there_and_what_was_known_is_said():
    for name in ("eyeriss-frames", "eyeriss-memory"):
        check = CHECKS[name]()
        assert list(check.points["point"]) == ["AlexNet, 4 images", "VGG-16, 3 images"]
        assert check.fitted == "" and not check.exact
        assert "AlexNet is no blind prediction" in check.notes[-1]
        assert (check.points["predicted"] > 0).all()
