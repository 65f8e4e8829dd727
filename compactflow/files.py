"""Files that are either whole or not there, and locks that end with their process."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "check_new",
    "check_replaceable",
    "locked",
    "removed_if_empty",
    "write_atomically",
    "write_folder",
]

_SPECIAL = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def check_replaceable(path: str | os.PathLike[str]) -> Path:
    """The file that is made or replaced when a path is written: where links lead to.

    Raises:
        FileNotFoundError: If the folder does not exist.
        FileExistsError: If there is something that is no regular file.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist; make it first")
    status = _status(target)
    if status and not stat.S_ISREG(status.st_mode):
        kind = _SPECIAL.get(stat.S_IFMT(status.st_mode), "special file")
        raise FileExistsError(f"{path} is a {kind}, which no file may replace; give another name")
    return target


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Write a file so that at any moment either the old or the new one is there, whole.

    A file that is replaced keeps its mode and its owner, and a link stays one.

    Args:
        path: The file to make or replace, or a link to it.
        write: Writes the content to the temporary path it is given, in the same folder.

    Raises:
        FileNotFoundError: If the folder does not exist.
        FileExistsError: If there is something that is no regular file.
    """
    target = check_replaceable(path)
    before = _status(target)
    temporary = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    with _removed_at_last(temporary):
        # Nobody else may read it before it has the mode of the file it replaces.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        os.close(os.open(temporary, flags, 0o600 if before else 0o666))
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if before:
            with suppress(PermissionError, AttributeError):  # only root gives files away
                os.chown(temporary, before.st_uid, before.st_gid)
            temporary.chmod(stat.S_IMODE(before.st_mode))
        os.replace(temporary, target)


def check_new(folder: Path) -> None:
    """Check that a folder can be made.

    Raises:
        FileExistsError: If there is something of that name.
        FileNotFoundError: If the folder around it does not exist.
    """
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder} exists; give the name of a new folder")
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"the folder {folder.parent} does not exist; make it first")


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Make a folder that is there when all of it is.

    Args:
        folder: The folder to make.
        write: Makes the temporary folder it is given, beside it, and writes the content.

    Raises:
        FileExistsError: If there is something of that name.
        FileNotFoundError: If the folder around it does not exist.
    """
    check_new(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    with _removed_at_last(temporary):
        write(temporary)
        temporary.rename(folder)


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Leave no empty folder behind where what fills it fails, as on a full disk."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it holds something
            folder.rmdir()
        raise


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock inside a ``with`` block. It ends with its process, however that ends.

    Args:
        path: The lock's file, which is gone afterwards, unless the process was killed.
        wait: Whether to wait for another holder.

    Raises:
        BlockingIOError: If another holds it, and `wait` is off.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle, wait)
            # The holder before may have removed this very file while we waited for it.
            status = _status(path)
            if status and os.path.samestat(status, os.fstat(handle)):
                break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        os.close(handle)


if sys.platform == "win32":

    def _lock(handle: int, wait: bool) -> None:
        while True:
            try:
                return msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait:
                    raise BlockingIOError(error.errno, "the file is locked") from error

else:

    def _lock(handle: int, wait: bool) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            # Some network file systems have no locks; work there goes on as if alone.
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _removed_at_last(temporary: Path) -> Iterator[None]:
    """Remove a file or folder after a ``with`` block, also if a signal to terminate ends it.

    The process then still ends by that signal. Handlers of the program's own are left alone, and
    threads other than the main one cannot set any.
    """
    process = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() == process:  # and not a fork of it
            _remove(temporary)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        raise SystemExit(128 + number)  # the first process of a container is spared the signal

    numbers = [
        getattr(signal, name)
        for name in ("SIGTERM", "SIGHUP")
        if hasattr(signal, name)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        _remove(temporary)
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
