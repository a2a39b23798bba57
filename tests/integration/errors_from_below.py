# SPDX-License-Identifier: MIT
"""Errors of a device reach the caller as an errno, and do not trouble another device:
a read of a backing file cut short, a write into a full file system, a device that shrank to nothing.
"""
import errno
import os

import lib
import workload
from lib import KIB, MIB


def outcome(path, operation, offset):
    """The errno's name, or the bytes moved."""
    descriptor = workload.open_file(path)
    step = os.preadv if operation == "read" else os.pwritev
    try:
        return step(descriptor, [workload.buffer(64 * KIB)], offset)
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.close(descriptor)


def same_as_native(group, device, operation, offset, what):
    native = outcome(device.source, operation, offset)
    proxied = group.call(outcome, device.path, operation, offset, timeout=10)
    print(f"{what}: {native} natively, {proxied} through the proxy", flush=True)
    lib.check(not isinstance(native, int), f"the fault is one natively, not {native}")
    lib.check(not isinstance(proxied, int), f"the caller gets an errno, not {proxied} bytes")


def full_file_system(scratch):
    """A sparse file where there is room for nothing."""
    small = scratch.make_directory("small")
    lib.run("mount", "-t", "tmpfs", "-o", "size=4m", "none", small)
    backing = scratch.file(64 * MIB, "small/full.img")
    with open(scratch.path("small/filler"), "wb", buffering=0) as filler:
        lib.check_errno("ENOSPC", lambda: [filler.write(bytes(MIB)) for _ in range(16)])
    return backing


def test(scratch):
    healthy, cut, shrunk = scratch.loop(), scratch.loop(options=["--direct-io=on"]), scratch.loop()
    full = scratch.loop(backing=full_file_system(scratch))
    blkio = scratch.blkio([healthy, cut, shrunk, full])
    group = blkio.group("g")

    os.truncate(cut.backing, 16 * MIB)
    same_as_native(group, cut, "read", 32 * MIB, "a read of the part that is gone")
    same_as_native(group, full, "write", 32 * MIB, "a write where there is no room")
    os.truncate(shrunk.backing, 0)
    lib.run("losetup", "--set-capacity", shrunk.source)
    reply = group.call(outcome, shrunk.path, "read", 32 * MIB, timeout=10)
    lib.check(reply in ("EIO", "ENXIO", "ENODEV"), f"a device that shrank away answers {reply}")
    reply = group.call(outcome, shrunk.path, "write", 32 * MIB, timeout=10)
    lib.check(reply in ("EIO", "ENXIO", "ENODEV", "ENOSPC"), f"and to a write {reply}")

    group.call(workload.seconds, healthy.path, "write", 64 * KIB, 16)
    lib.check(group.ios(healthy, "Write") == 16, "another device goes on")


lib.main(test)
