"""Outputs appear whole or not at all, whatever ends the run; one run per output."""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from diorama.errors import LimitError, UsageError
from diorama.media.atomic import atomic_folder, atomic_path, content_bytes, content_hash, sweep, write_bytes
from diorama.media.lock import RunLock


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def break_off(target: Path, error: BaseException) -> None:
    with atomic_path(target) as partial:
        partial.write_bytes(b"half")
        raise error


def break_off_folder(target: Path, error: BaseException) -> None:
    with atomic_folder(target, overwrite=True) as partial:
        (partial / "half").touch()
        raise error


def test_the_target_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with atomic_path(target) as partial:
        partial.write_bytes(b"new")
        assert not target.exists()
        assert partial.name == f".a.mp4.partial-{os.getpid()}"
    assert names(tmp_path) == ["a.mp4"]
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"old")
    with pytest.raises(error):
        break_off(target, error())
    assert names(tmp_path) == ["a.mp4"]
    assert target.read_bytes() == b"old"


def test_a_full_disk_is_a_limit_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="no space left"):
        break_off(tmp_path / "a", OSError(errno.ENOSPC, "No space left on device"))
    assert names(tmp_path) == []


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "there").write_bytes(b"")
    for target in (tmp_path / "missing" / "a", tmp_path / "folder", tmp_path / "there" / "a"):
        with pytest.raises(UsageError), atomic_path(target):
            pytest.fail("the block must not start")
    with pytest.raises(UsageError, match="exists"), atomic_path(tmp_path / "there", overwrite=False):
        pytest.fail("the block must not start")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="not writable"), atomic_path(tmp_path / "a"):
        pytest.fail("the block must not start")


@pytest.mark.parametrize("name", ["with space", "-dash", "quo'te\"", "new\nline", "émoji 🎬", "x" * 255])
def test_odd_names(tmp_path: Path, name: str) -> None:
    write_bytes(tmp_path / name, b"1")
    assert names(tmp_path) == [name]


def test_a_folder_appears_whole_and_replaces_whole(tmp_path: Path) -> None:
    target = tmp_path / "scene"
    for content in ("one", "two"):
        with atomic_folder(target, overwrite=content == "two") as partial:
            (partial / "deep").mkdir()
            (partial / "deep" / content).write_text(content)
    assert names(tmp_path) == ["scene"]
    assert names(target / "deep") == ["two"]
    with pytest.raises(UsageError, match="exists"), atomic_folder(target):
        pytest.fail("the block must not start")
    with pytest.raises(ValueError):
        break_off_folder(target, ValueError())
    assert names(tmp_path) == ["scene"]
    assert names(target / "deep") == ["two"]


def test_a_folder_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"precious")
    with pytest.raises(UsageError, match="not a folder"), atomic_folder(tmp_path / "film.mp4", overwrite=True):
        pytest.fail("the block must not start")
    assert (tmp_path / "film.mp4").read_bytes() == b"precious"


def test_sweep_removes_the_leftovers_of_this_target_only(tmp_path: Path) -> None:
    (tmp_path / ".a.mp4.partial-12").mkdir()
    for name in (".a.mp4.partial-9", ".a.mp4.partial-keep", ".b.mp4.partial-9", "a.mp4"):
        (tmp_path / name).touch()
    sweep(tmp_path / "a.mp4")
    assert names(tmp_path) == [".a.mp4.partial-keep", ".b.mp4.partial-9", "a.mp4"]


def test_hash_of_a_folder_follows_names_and_contents(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(name.encode())
    first = content_hash(tmp_path)
    assert len(first) == 64
    assert content_bytes(tmp_path) == 2
    (tmp_path / ".hidden").write_bytes(b"x")
    assert content_hash(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "c")
    assert content_hash(tmp_path) != first


def test_a_lock_is_exclusive_and_goes_with_its_run(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with RunLock(target):
        assert names(tmp_path) == [".a.mp4.lock"]
        with pytest.raises(UsageError, match=f"process {os.getpid()} on"), RunLock(target):
            pytest.fail("held twice")
        assert names(tmp_path) == [".a.mp4.lock"]
    assert names(tmp_path) == []


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom diorama.media.lock import RunLock\nfrom diorama.errors import DioramaError\n"
        "try:\n  RunLock(pathlib.Path(sys.argv[1])).__enter__()\n"
        "except DioramaError as error:\n  sys.stderr.write(str(error)); sys.exit(error.exit_code)\n"
    )
    target = tmp_path / "a.mp4"
    with RunLock(target):
        done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"process {os.getpid()}" in done.stderr


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_stale_locks_are_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / ".a.lock"
    here = socket.gethostname()
    for owner in (
        {"pid": dead_pid(), "host": here, "born": ""},
        {"pid": os.getpid(), "host": here, "born": "1"},  # the number lives on in another process
    ):
        lock.write_text(json.dumps(owner))
        with RunLock(tmp_path / "a"):
            assert json.loads(lock.read_text())["pid"] == os.getpid()
            assert json.loads(lock.read_text())["born"] != "1"


def test_locks_of_other_hosts_and_fresh_empty_ones_are_kept(tmp_path: Path) -> None:
    lock = tmp_path / ".a.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere", "born": ""}))
    with pytest.raises(UsageError, match="elsewhere"), RunLock(tmp_path / "a"):
        pytest.fail("held twice")
    lock.write_text("")
    with pytest.raises(UsageError, match="another process"), RunLock(tmp_path / "a"):
        pytest.fail("held twice")
    old = time.time() - 60
    os.utime(lock, (old, old))
    with RunLock(tmp_path / "a"):
        assert lock.stat().st_size > 0


def test_of_many_that_find_a_stale_lock_one_wins(tmp_path: Path) -> None:
    (tmp_path / ".a.lock").write_text(json.dumps({"pid": dead_pid(), "host": socket.gethostname(), "born": ""}))
    held: list[RunLock] = []
    refused: list[UsageError] = []
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        try:
            held.append(RunLock(tmp_path / "a").__enter__())
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)
