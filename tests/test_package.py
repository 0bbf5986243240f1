"""The lock, the wheel, and the demo from an installed wheel outside the checkout."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import hwsim
from hwsim.data import bundled, bundled_networks

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def requirements():
    project = PROJECT["project"]
    yield from PROJECT["build-system"]["requires"]
    yield from project["dependencies"]
    for extra in project["optional-dependencies"].values():
        yield from extra


def parts(requirement):
    """``a-b>=1.2,<2`` -> ("a-b", [(">=", (1, 2)), ("<", (2,))])."""
    name, bounds = re.fullmatch(r"([\w.-]+?)((?:[<>]=?[\d.]+,?)*)", requirement).groups()
    return name, [(sign, numbers(bound)) for sign, bound in re.findall(r"([<>]=?)([\d.]+)", bounds)]


def numbers(version):
    return tuple(int(part) for part in re.match(r"[\d.]*\d", version)[0].split("."))


LOCKED = re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE)


@pytest.mark.parametrize("requirement", sorted(set(requirements())))
def test_lock_satisfies(requirement):
    name, bounds = parts(requirement)
    versions = [numbers(version) for locked, version in LOCKED if locked == name]
    assert versions, f"{name} is not in requirements.lock"
    compare = {">=": tuple.__ge__, "<": tuple.__lt__}
    for version in versions:
        assert all(compare[sign](version, bound) for sign, bound in bounds)


def test_lock_has_a_hash_for_every_version_and_no_address():
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(LOCKED) > 0
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host| @ ", LOCK)


def test_every_dependency_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = re.findall(r"^[\w-]+ = \[\n((?:    .*\n)+)\]", text, re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines() if ">=" in line]
    assert len(lines) == len(list(requirements())) - len(PROJECT["build-system"]["requires"])
    assert [line for line in lines if not re.search(r'",\s+# \w', line)] == []


def test_bundled_files():
    assert bundled_networks() == ["digits", "lenet5", "mnist_cnn"]
    assert bundled("lenet5/lenet5.onnx") == ROOT / "models" / "lenet5" / "lenet5.onnx"


def test_bundled_refuses_what_is_not_there():
    with pytest.raises(FileNotFoundError) as refused:
        bundled("vgg16/vgg16.onnx")
    assert str(refused.value) == (
        "no bundled file 'vgg16/vgg16.onnx'; networks in this installation: digits, lenet5, "
        "mnist_cnn"
    )
    with pytest.raises(FileNotFoundError) as refused:
        bundled("mnist_cnn/images.npz")
    assert str(refused.value) == (
        "no bundled file 'mnist_cnn/images.npz'; networks with images in this installation: "
        "digits, lenet5"
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_the_networks_only(wheel):
    assert wheel.name == f"hwsim-{hwsim.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "hwsim",
        f"hwsim-{hwsim.__version__}.dist-info",
    }
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hwsim").rglob("*.py")}
    assert modules <= set(names)
    for network in bundled_networks():
        assert f"hwsim/bundled/{network}/{network}.onnx" in names
    for network in ("lenet5", "digits"):
        assert f"hwsim/bundled/{network}/images.npz" in names
    assert not [name for name in names if name.endswith(("train.py", ".pyc"))]


def run(installed, *arguments, **options):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [installed / "venv" / "bin" / arguments[0], *arguments[1:]],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel, and of this environment all but its own hwsim.

    The dependencies are the locked ones that already stand here: a path file makes them visible.
    Python reads no path files in that folder, so that the editable install's does not count.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    run(folder, "pip", "install", "--no-deps", "--no-index", "--quiet", wheel, check=True)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheels_package_is_the_one_that_is_imported(installed):
    done = run(installed, "python", "-c", "import hwsim; print(hwsim.__file__)", check=True)
    assert Path(done.stdout.strip()).is_relative_to(installed / "venv")


def test_info_from_the_wheel(installed):
    done = run(installed, "hwsim", "info", "lenet5", "--json", check=True)
    assert json.loads(done.stdout)["params"] == 61706


def test_demo_from_the_wheel(installed):
    done = run(installed, "hwsim", "demo", "--count", "3", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["images"] == 3
    assert result["mismatches"] == 0
    assert result["cycles"] == result["estimated_cycles"]
    assert result["cycles_per_image"] == result["estimated_cycles_per_image"]
    report = installed / result["report"]
    assert report.is_file()
    assert {path.name for path in installed.iterdir()} == {"venv", "hwsim-demo"}
