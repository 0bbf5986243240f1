"""Results on disk: found again, whole or not at all. Compiled programs have tests of their own."""

import pytest

from hwsim.cache import Cache, digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    where = tmp_path / "kept" / "things"
    monkeypatch.setenv("HWSIM_CACHE", str(where))
    return where


THINGS = Cache("things", b"thing 1\n")


def test_what_is_saved_is_loaded(folder):
    key = digest("a", "b")
    assert THINGS.load(key) is None
    THINGS.save(key, b"content")
    assert THINGS.load(key) == b"content"
    assert [path.name for path in folder.iterdir()] == [key]


def test_another_kind_is_not_taken_for_it(folder):
    THINGS.save("k", b"content")
    assert Cache("others", b"other 1\n").load("k") is None


@pytest.mark.parametrize("end", [0, 5, 20, -1])
def test_half_a_file_is_none(folder, end):
    THINGS.save("k", b"content")
    file = folder / "k"
    file.write_bytes(file.read_bytes()[:end])
    assert THINGS.load("k") is None


def test_a_kind_has_its_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("HWSIM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert THINGS.folder() == tmp_path / "hwsim" / "things"


def test_without_a_folder_nothing_is_kept(monkeypatch):
    monkeypatch.setenv("HWSIM_CACHE", "")
    THINGS.save("k", b"content")
    assert THINGS.load("k") is None
