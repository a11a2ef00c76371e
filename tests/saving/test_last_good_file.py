"""opt.save: whatever happens on the way, the path is afterwards the whole old file or the whole new one."""
from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import tempfile
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.saved import number_in, numbered

FORK = multiprocessing.get_context("fork")


@pytest.mark.parametrize("error", [OSError(5, "an error of the test's"), KeyboardInterrupt()], ids=["error", "^C"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call, number", [
    ("stat", 1), ("open", 1), ("fchmod", 1), ("fsync", 1), ("replace", 1), ("fsync", 2)])
def test_a_failure_at_any_point_leaves_a_whole_file(tmp_path, monkeypatch, call, number, after, error):
    numbered(0).save(tmp_path / "opt")
    opt, real, calls = numbered(1), getattr(os, call), []

    def failing(*args, **more):
        calls.append(args)
        if after or len(calls) < number:
            done = real(*args, **more)
        if len(calls) == number:
            raise error
        return done

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(os, call, failing)
        opt.save(tmp_path / "opt")
    assert len(calls) == number
    assert number_in(tmp_path / "opt") == ((call, number) == ("fsync", 2) or (call == "replace" and after))
    assert os.listdir(tmp_path) == ["opt"]


@pytest.mark.parametrize("folders", [None, errno.EINVAL, errno.ENOTSUP])
def test_all_bytes_are_on_the_disk_before_the_name_and_then_the_folder(tmp_path, monkeypatch, folders):
    """And nothing stays open. `folders`: how a file system says that it has no fsync for folders."""
    trace, spare = [], os.dup(0)
    os.close(spare)                                     # the lowest free number of a file

    def fsync(f):
        trace.append((os.fstat(f).st_ino, os.fstat(f).st_size))
        if f == spare and folders:
            raise OSError(folders, "no such thing")

    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", lambda *names: trace.append(names[1]) or real(*names))
        numbered(1).save(tmp_path / "opt")
    file, folder = os.stat(tmp_path / "opt"), os.stat(tmp_path)
    assert trace == [(file.st_ino, file.st_size), os.path.realpath(tmp_path / "opt"), (folder.st_ino, folder.st_size)]
    assert os.dup(0) == spare
    os.close(spare)


@given(st.floats(0, 1, exclude_max=True))
def test_a_full_disk_leaves_the_old_file(tmp_path, share):
    """The system's limit on the size of files stands for the disk's: the write that crosses it fails."""
    numbered(0).save(tmp_path / "opt")
    opt, (soft, hard) = numbered(1), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * (tmp_path / "opt").stat().st_size), hard))
    try:
        with pytest.raises(OSError, match="opt"):
            opt.save(tmp_path / "opt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert number_in(tmp_path / "opt") == 0 and os.listdir(tmp_path) == ["opt"]


def saver(path, n, numbers, pipe=None):
    for k, opt in [(k, numbered(k, n)) for k in numbers]:
        opt.save(path)
        if pipe is not None:
            pipe.send_bytes(k.to_bytes(4, "little"))


def test_a_killed_process_leaves_the_last_good_file(tmp_path):
    """Killed at any moment: the file is that of the last save that returned, or of the one under way."""
    path, n, rng, rounds = tmp_path / "opt", 100_000, np.random.default_rng(0), 40
    numbered(0, n).save(path)
    for _ in range(rounds):
        done = number_in(path, n)
        ours, theirs = FORK.Pipe(duplex=False)
        child = FORK.Process(target=saver, args=(path, n, range(done + 1, done + 41), theirs))
        child.start()
        theirs.close()
        time.sleep(0.1 * rng.random())                  # seconds; a save takes some milliseconds
        child.kill()
        child.join()
        while True:
            try:
                done = int.from_bytes(ours.recv_bytes(), "little")
            except (EOFError, OSError):                 # the end, perhaps within a message
                break
        ours.close()
        assert done <= number_in(path, n) <= done + 1
    temps = set(os.listdir(tmp_path)) - {"opt"}
    assert len(temps) <= rounds and all(t.startswith(".optcore-") and t.endswith(".tmp") for t in temps)


def test_many_savers_of_one_path_leave_one_whole_file(tmp_path):
    path, n = tmp_path / "opt", 10_000
    numbered(0, n).save(path)
    children = [FORK.Process(target=saver, args=(path, n, range(k, 30, 3))) for k in (1, 2, 3)]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        number_in(path, n)                              # whole at every moment
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert number_in(path, n) in (27, 28, 29) and os.listdir(tmp_path) == ["opt"]


# ------------------------------------------------------------------------------------------- folders and names


def test_a_folder_that_cannot_be_written_and_what_is_no_file(monkeypatch):
    """As an ordinary user, for whom alone such a folder exists, in a place that every user can reach."""
    opt, user = numbered(1), os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        numbered(0).save("opt")
        os.mkfifo("pipe")
        os.chmod(folder, 0o555)
        os.seteuid(user or 65534)
        try:
            for path, error, message in (
                ("opt", PermissionError, folder), ("new", PermissionError, folder),
                ("missing/opt", FileNotFoundError, "missing"),
                ("pipe", ValueError, "pipe: it exists and is no regular file"), (".", ValueError, "no regular file"),
            ):
                with pytest.raises(error, match=message):
                    opt.save(path)
            assert number_in("opt") == 0 and sorted(os.listdir()) == ["opt", "pipe"]
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o755)


def test_permissions_links_and_names_are_those_of_any_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o027)
    try:
        numbered(1).save("opt")
    finally:
        os.umask(before)
    assert os.stat("opt").st_mode & 0o777 == 0o640      # 0o666 under that umask
    os.chmod("opt", 0o600)
    for link, target in (("link", "opt"), ("dangling", "later")):
        os.symlink(target, link)
        numbered(2).save(link)
        assert os.path.islink(link) and number_in(target) == 2
    assert os.stat("opt").st_mode & 0o777 == 0o600      # a private file stays one
    for name in ("n" * 255, "ü \n%s", b"bytes"):        # 255: the longest name
        numbered(4).save(name)
        assert number_in(name) == 4
