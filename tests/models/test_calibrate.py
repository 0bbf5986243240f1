"""`calibrate_cpu`: a device file of this machine, in little time."""

import dataclasses
import os
import re

import pytest

from hwsim.models import calibrate, devices
from hwsim.models.calibrate import calibrate_cpu
from hwsim.models.estimate import estimate
from hwsim.models.probes import CHAIN, probes, vector_lanes
from tests.models.test_cpu import conv

MIB = 2**20


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("device") / "mine.toml"
    assert calibrate_cpu(place, seconds=0.05, buffer_bytes=4 * MIB) == place
    return place


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "hwsim" / "devices"


def test_the_file_is_a_device(path):
    device = devices.load(path)
    assert (device.name, device.device_class) == ("this-machine", "cpu")
    assert device.title
    assert device["cores"] == len(os.sched_getaffinity(0)) or device["cores"] >= 1
    assert device["fp32_macs_per_cycle"] % device["vector_lanes"] == 0
    assert device["vector_lanes"] == vector_lanes() in (4, 8, 16)
    # Wide bounds that any processor of this century lies in, however busy.
    assert 1e8 < device["clock"] < 1e10
    assert 1e8 < device["core_memory_bandwidth"] <= device["memory_bandwidth"] < 1e13
    assert device["l1_size"] < device["l2_size"] < device["cache_size"]
    assert 1 < device["power_cycles"] < 1e5
    assert 0 < device["compute_efficiency"] <= 1


def test_every_number_says_where_it_comes_from(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "# Written by hwsim calibrate cpu."
    own = [line.partition(" = ")[0] for line in lines[4:]]
    device = devices.load(path)
    for name in own:
        assert re.match("(measured|derived|assumption): ", device.quantities[name].source)
    assert sum(device.quantities[name].source.startswith("measured: ") for name in own) >= 10
    # Nothing tells when it was.
    assert not re.search(r"\b20\d\d-\d\d", path.read_text())


def test_an_estimate_works_with_it(path):
    for cores in (None, 1):
        (found,) = estimate(conv(), [path], cores=cores, fuse=True)
        assert 0 < found.latency_s < 1


def test_this_machine_is_found_by_its_name(config):
    with pytest.raises(ValueError, match=r"^this-machine has not been measured yet: run hwsim cal"):
        devices.load("this-machine")
    assert calibrate_cpu(seconds=0.02, buffer_bytes=MIB) == config / "this-machine.toml"
    assert devices.load("this-machine").name == "this-machine"
    assert "this-machine" not in devices.names()


def test_unmeasured_devices_say_what_to_run(config):
    for name, what in (("this-machine", "cpu"), ("this-gpu", "gpu")):
        with pytest.raises(ValueError) as caught:
            devices.load(name)
        assert str(caught.value) == f"{name} has not been measured yet: run hwsim calibrate {what}"


def test_a_name_is_no_way_out_of_the_folder(config):
    config.mkdir(parents=True)
    (config.parent / "secret.toml").write_text("")
    with pytest.raises(ValueError, match=r"^unknown device '\.\./secret'"):
        devices.load("../secret")


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"^seconds must be positive, not 0$"):
        calibrate_cpu(tmp_path / "x.toml", seconds=0)
    with pytest.raises(ValueError, match=r"^buffer_bytes must be at least 1,048,576, not 1$"):
        calibrate_cpu(tmp_path / "x.toml", buffer_bytes=1)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_where_that_fails(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        calibrate_cpu(tmp_path / "file" / "x.toml", seconds=0.01, buffer_bytes=MIB)


def test_caches_are_found_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "SYSTEM", tmp_path)
    rates = {16: 100, 32: 98, 64: 50, 128: 50, 256: 49, 512: 30, 1024: 30, 8192: 29, 16384: 10}

    def read(self, length, seconds):
        return next(rate for size, rate in reversed(rates.items()) if length >= size * 1024)

    monkeypatch.setattr(calibrate._Buffer, "read", read)
    *sizes, source = calibrate._caches(0.1)
    assert sizes == [32 * 1024, 256 * 1024, 8 * MIB]
    assert source == "measured: the size beyond which reads become slower"


def test_the_loops_do_what_they_say():
    loops = probes()
    value = 12345
    for index in range(3 * CHAIN):
        value = value + 12345 if index % 2 else value ^ 3
    assert loops.chain(3, 12345) == value
    # Each of the accumulators, in its first lane, starts at some number and gains a product a turn.
    few, more = loops.multiply(10, 0.0), loops.multiply(20, 0.0)
    assert few == more == 0
    assert loops.multiply(1, 1.0) != loops.multiply(2, 1.0)
    names = {field.name for field in dataclasses.fields(devices.Device)}
    assert {"name", "quantities"} <= names


def test_a_buffer_is_read_and_copied():
    import ctypes

    import numpy as np

    loops = probes()
    step = 8 * loops.width
    memory = np.arange(4 * step + 64, dtype=np.uint8)
    offset = -memory.ctypes.data % 64
    source = memory[offset : offset + 2 * step]
    target = memory[offset + 2 * step : offset + 4 * step]
    loops.copy(target.ctypes.data, source.ctypes.data, 2 * step, 2)
    assert (target == source).all()
    ones = source.view(np.int32)
    lanes = ones.reshape(-1, loops.width // 4)[:, 0]
    address = ctypes.c_void_p(source.ctypes.data)
    # All accumulators but the first count once, which cancels itself.
    wanted = np.bitwise_xor.reduce([lane for index, lane in enumerate(lanes) if index % 8])
    assert loops.read(address, 2 * step, 2) == wanted
