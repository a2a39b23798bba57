# SPDX-License-Identifier: MIT
"""Our hierarchy where programs look for the kernel's: /sys/fs/cgroup/blkio, for one test alone.

    @stacked.alone
    def test(scratch):
        blkio = stacked.blkio(scratch, [scratch.loop()])

Programs find the controller by the kernel's `type cgroup ... blkio` line in /proc/mounts; every
path they then walk ends in our mount. The rest of the machine keeps the kernel's.
"""
import ctypes
import functools
import os

import lib
from machine import mounts_below

MOUNT = "/sys/fs/cgroup/blkio"
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _unshare(flags):
    if _libc.unshare(flags):
        raise lib.Skip(f"no namespaces of its own: {os.strerror(ctypes.get_errno())}")


def alone(test):
    """The test in a mount namespace of its own, left again at its end, with all that is in it."""
    @functools.wraps(test)
    def wrapped(scratch):
        directory = os.open(".", os.O_PATH)
        left = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("mnt", "net")]
        _unshare(CLONE_NEWNS)
        try:
            lib.run("mount", "--make-rprivate", "/")
            test(scratch)
        finally:
            for namespace in left:
                _libc.setns(namespace, 0)
                os.close(namespace)
            os.fchdir(directory)
            os.close(directory)

    return wrapped


def with_kernel_groups(test):
    """As alone(); and what a daemon with mirror=real, or the test, left in the kernel's own hierarchy
    is removed."""
    @functools.wraps(test)
    def wrapped(scratch):
        if not any(point == MOUNT and kind == "cgroup" for point, _, kind in mounts_below(MOUNT)):
            raise lib.Skip("the kernel's blkio controller is not mounted at " + MOUNT)
        before = _kernel_groups()
        try:
            alone(test)(scratch)
        finally:
            # For a daemon that is still to be stopped there is nothing here: it removes its own.
            for group in _kernel_groups():
                if group not in before and not lib.processes_naming(scratch.directory):
                    os.rmdir(group)

    return wrapped


def _kernel_groups():
    return [group for group, _, _ in os.walk(MOUNT, topdown=False)]


def leave_network():
    """Nothing but an unused loopback interface from here on. The daemon must run already: the
    kernel's process events are not to be had in here."""
    _unshare(CLONE_NEWNET)


def blkio(scratch, devices, *options):
    """A daemon that the test and all its children see at MOUNT."""
    if not any(point == MOUNT and kind == "cgroup" for point, _, kind in mounts_below(MOUNT)):
        raise lib.Skip("the kernel's blkio controller is not mounted at " + MOUNT)
    daemon = scratch.blkio(devices, "dialect=doc", *options)
    bind(daemon.mount, MOUNT)
    daemon.path = MOUNT
    return daemon


def bind(source, path):
    """The existing file or directory `path` is `source`, for this test alone."""
    lib.run("mount", "--bind", source, path)
