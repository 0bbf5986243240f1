import errno
import os
import stat

import pytest

from hwsim.files import check_file, make_folder, write_file, write_files


def sentence(error):
    return f"{error.value.filename}: {error.value.strerror}"


def test_write_file(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_file(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path):
    write_file(tmp_path / "a", "")
    (tmp_path / "b").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes[0] == modes[1]


def test_write_files_makes_the_folder(tmp_path):
    folder = tmp_path / "a" / "b"
    assert write_files(folder, {"x": "1", "y": "2"}) == [folder / "x", folder / "y"]
    assert (folder / "y").read_text() == "2"


def test_the_longest_name_can_be_written(tmp_path):
    write_file(tmp_path / ("x" * 255), "")
    assert os.listdir(tmp_path) == ["x" * 255]


def test_folder_in_the_way(tmp_path):
    with pytest.raises(OSError) as error:
        write_file(tmp_path, "")
    assert sentence(error) == f"{tmp_path}: Is a directory"


def test_file_in_the_way_of_a_folder(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    for refused in (lambda: make_folder(path), lambda: write_files(path, {"x": ""})):
        with pytest.raises(OSError) as error:
            refused()
        assert sentence(error) == f"{path}: Not a directory"
    assert path.read_text() == "old"


def test_folder_that_is_missing(tmp_path):
    path = tmp_path / "a" / "b"
    with pytest.raises(OSError) as error:
        write_file(path, "")
    assert sentence(error) == f"{path}: No such file or directory"


def test_a_device_is_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError) as error:
        write_file(path, "")
    assert sentence(error) == f"{path}: Not a plain file"
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_when_one_file_fails_none_appears(tmp_path):
    folder = tmp_path / "new"
    with pytest.raises(OSError) as error:
        write_files(folder, {"a": "1", "b" * 300: "2"})
    assert sentence(error) == f"{folder / ('b' * 300)}: File name too long"
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_files(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError) as error:
        write_files(tmp_path, {"a": "new"})
    assert sentence(error) == f"{tmp_path / 'a'}: No space left on device"
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, {"a": "", "b": ""})
    assert os.listdir(tmp_path) == []


def test_check_file(tmp_path):
    """Nothing is left behind, and what is there stays."""
    path = tmp_path / "file"
    check_file(path)
    assert not list(tmp_path.iterdir())
    path.write_text("old")
    check_file(path)
    assert path.read_text() == "old"
    for wrong in (tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(OSError) as raised:
            check_file(wrong)
        assert str(raised.value.filename) == str(wrong)
