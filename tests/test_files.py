import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from compactflow.cli import main
from compactflow.files import locked, write_atomically

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def write(text):
    return lambda path: path.write_text(text)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_replaced_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(mode)
    seen = []

    def look(temporary):
        seen.append(stat.S_IMODE(temporary.stat().st_mode))
        temporary.write_text("new")

    write_atomically(path, look)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert seen == [0o600]  # and nobody else could read it before


@posix
def test_a_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", write("new"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(tmp_path, there):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "a", tmp_path / "link"
    link.symlink_to(target)
    if there:
        target.write_text("old")
    write_atomically(link, write("new"))
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "a", "link"}


def fifo(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/null")


def loop(path):
    path.symlink_to(path)


@posix
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (fifo, "is a FIFO"),
        (device, "is a device"),
        (os.mkdir, "is a folder"),
        (loop, "symbolic links"),
    ],
)
def test_what_is_no_regular_file_stays(tmp_path, make, said, capsys):
    path, model = tmp_path / "there", tmp_path / "model"
    make(path)
    before = path.lstat()
    with pytest.raises(OSError, match=said):
        write_atomically(path, write("new"))
    assert main(["set-boundary", str(model), "--out", str(path), "--force"]) == 2
    assert said in capsys.readouterr().err
    after = path.lstat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert list(tmp_path.iterdir()) == [path]


_WRITE = """
import os, signal, sys, threading
from pathlib import Path
from compactflow.files import write_atomically

def die(temporary):
    temporary.write_text("half")
    if sys.argv[2] == "child":
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        os.wait()
        assert temporary.exists()
        temporary.write_text("new")
    else:
        os.kill(os.getpid(), int(sys.argv[2]))

write_atomically(Path(sys.argv[1]), die)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


def run_write(path, what):
    return subprocess.run([sys.executable, "-c", _WRITE, path, what], check=False).returncode


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_leaves_no_temporary_file(tmp_path, name):
    (tmp_path / "a").write_text("old")
    number = getattr(signal, name)
    assert run_write(tmp_path / "a", str(int(number))) == -number
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


@posix
def test_a_signal_to_end_leaves_no_part_of_a_folder(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from compactflow.files import write_folder

def die(temporary):
    temporary.mkdir()
    (temporary / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGTERM)

write_folder(Path(sys.argv[1]), die)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "new"], check=False)
    assert done.returncode == -signal.SIGTERM
    assert not list(tmp_path.iterdir())


@posix
def test_a_child_that_is_ended_leaves_the_file_alone(tmp_path):
    assert run_write(tmp_path / "a", "child") == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new"}


@posix
def test_handlers_of_the_program_stay(tmp_path):
    def handler(*_):
        raise TimeoutError("too long")

    def end(temporary):
        temporary.write_text("half")
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(TimeoutError):
            write_atomically(tmp_path / "a", end)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(tmp_path.iterdir()) == []


def test_other_threads_write_too(tmp_path):
    thread = threading.Thread(target=write_atomically, args=(tmp_path / "a", write("new")))
    thread.start()
    thread.join()
    assert (tmp_path / "a").read_text() == "new"


def test_a_lock_is_held_once_and_leaves_nothing(tmp_path):
    path = tmp_path / "lock"
    with locked(path, wait=False):
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
        assert path.exists()
    assert not path.exists()
    with locked(path, wait=False):
        pass


def test_waiting_holders_take_turns(tmp_path):
    """Each adds to a file that only one at a time may read and write."""
    total, rounds, workers = tmp_path / "total", 50, 4
    total.write_text("0")

    def add():
        for _ in range(rounds):
            with locked(tmp_path / "lock", wait=True):
                total.write_text(str(int(total.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total.read_text() == str(rounds * workers)


_HOLD = """
import sys
from pathlib import Path
from compactflow.files import locked
with locked(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
        holder.kill()
        holder.wait()
        with locked(path, wait=False):
            pass
