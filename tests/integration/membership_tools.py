# SPDX-License-Identifier: MIT
"""A daemon on a directory of the test's choice, and where the kernel sees a task."""
import contextlib
import subprocess

import lib
from groups import Group


def path_of(pid, label):
    """The task's group in the hierarchy whose line of /proc/PID/cgroup bears the label."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            _, labels, path = line.rstrip("\n").split(":", 2)
            if label in labels.split(","):
                return path
    return None


@contextlib.contextmanager
def mounted_blkio(scratch, mountpoint, *options):
    """In the background, as mount(8) would have it; unmounted at the end."""
    device = scratch.image()
    words = ",".join([device.option, f"devdir={scratch.make_directory('over-dev')}", *options])
    lib.run(lib.binary("blkio"), mountpoint, "-o", words)
    try:
        yield Group(mountpoint)
    finally:
        lib.run("umount", mountpoint)
        lib.eventually(lambda: not running(words), 5, "the daemon has ended")


def running(words):
    found = subprocess.run(["pgrep", "-f", words.split(",")[1]], stdout=subprocess.PIPE, check=False)
    return found.returncode == 0
