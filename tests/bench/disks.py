# SPDX-License-Identifier: MIT
"""The devices that the tables of the data path are measured on: memory all of them, so that what is
seen is the way to the device."""
import contextlib
import glob
import os
import signal
import sys
import time

import contenders
import jobs
import lib
import machine
from lib import MIB

SIZE = 256 * MIB
ZRAM = "/sys/class/zram-control/"
LONGEST_SECONDS = 10  # until the last who has it open has gone


class Disk:
    """`device` as lib knows it; `kind` and `remark` for the reader."""

    def __init__(self, kind, device, remark=""):
        self.kind = kind
        self.device = device
        self.remark = remark
        self._queue = f"/sys/block/{os.path.basename(device.source)}/queue/"

    def set(self, file, value):
        """A setting of its queue; a device without one has no scheduler to set."""
        try:
            with open(self._queue + file, "w", encoding="ascii") as stream:
                stream.write(str(value))
        except OSError as error:
            if value != "none":
                raise lib.Skip(f"{self.kind} takes no {file} {value}: {error.strerror}") from error


@contextlib.contextmanager
def loop(scratch):
    """A loop device on tmpfs, with direct I/O if the kernel knows how."""
    memory = scratch.make_directory("memory")
    lib.run("mount", "-t", "tmpfs", "-o", f"size={2 * SIZE}", "none", memory)
    backing = scratch.file(SIZE, "memory/disk.img")
    fill(backing)
    device = scratch.loop(SIZE, options=("--direct-io=on",), backing=backing)
    with open(f"/sys/block/{os.path.basename(device.source)}/loop/dio", encoding="ascii") as stream:
        direct = stream.read().strip() == "1"
    try:
        yield Disk("loop", device, "with direct I/O" if direct else "through the page cache")
    finally:
        lib.run("losetup", "--detach", device.source)
        lib.eventually(lambda: not machine.detach_loops(memory), LONGEST_SECONDS, "loop detached")
        lib.run("umount", memory)


@contextlib.contextmanager
def zram(scratch):
    """Compressed memory, of data that does not compress. It has no scheduler."""
    if not os.path.exists(ZRAM + "hot_add"):
        raise lib.Skip("the kernel makes no zram devices (modprobe zram)")
    with open(ZRAM + "hot_add", encoding="ascii") as stream:  # reading makes one
        number = int(stream.read())
    with Keeper(scratch, lambda: remove_zram(number)):
        with open(f"/sys/block/zram{number}/disksize", "w", encoding="ascii") as stream:
            stream.write(str(SIZE))
        with open(f"/sys/block/zram{number}/dev", encoding="ascii") as stream:
            device = lib.Device(f"/dev/zram{number}", stream.read().strip(), SIZE,
                                f"device=/dev/zram{number}")
        fill(device.source)
        yield Disk("zram", device)


@contextlib.contextmanager
def null(scratch):
    """Zeros: of blkio's null device, and of the shortest loop around /dev/fuse."""
    yield Disk("null", scratch.null(SIZE))


KINDS = {"loop": loop, "zram": zram, "null": null}


@contextlib.contextmanager
def disk(scratch, kind):
    with Keeper(scratch, lambda: remove_groups(scratch)), KINDS[kind](scratch) as found:
        yield found


def fill(path):
    block = os.urandom(MIB)
    with open(path, "r+b", buffering=0) as stream:
        for _ in range(SIZE // MIB):
            stream.write(block)
        os.fsync(stream.fileno())


def remove_zram(number):
    """Its memory, too."""
    for file, value in ((f"/sys/block/zram{number}/reset", 1), (ZRAM + "hot_remove", number)):
        with open(file, "w", encoding="ascii") as stream:
            stream.write(str(value))


def remove_groups(scratch):
    """The kernel's groups of the run, the innermost first."""
    top = contenders.kernel_top(scratch)
    for directory in sorted(glob.glob(top + "/**/", recursive=True), key=len, reverse=True):
        os.rmdir(directory)


class Keeper:
    """A child that calls `tidy` at the end of the `with`, or when we are killed before. lib sweeps
    a scratch; this is for what the kernel keeps elsewhere. Who uses it may take a while to go."""

    def __init__(self, scratch, tidy):
        self._parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._keep(scratch, tidy)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _keep(self, scratch, tidy):
        done = False
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            jobs.die_with_parent(signal.SIGTERM)  # which is blocked, and waited for
            if os.getppid() == self._parent:
                signal.sigwait({signal.SIGTERM})
            if os.getppid() != self._parent:
                machine.sweep(scratch.directory)
            done = self._patiently(tidy)
        finally:
            os._exit(0 if done else 1)

    @staticmethod
    def _patiently(tidy):
        end = time.monotonic() + LONGEST_SECONDS
        while True:
            try:
                tidy()
                return True
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self._pid, signal.SIGTERM)
        lib.check(os.waitpid(self._pid, 0)[1] == 0, "the device and the groups are removed")
