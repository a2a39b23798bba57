# SPDX-License-Identifier: MIT
"""qemu-nbd over the proxied file serves a disk to nbdcopy: what it reads is its own group's, whichever
of its short-lived worker threads read it, and the copy is identical.
"""
import filecmp
import os

import lib
from lib import MIB

SIZE = 16 * MIB


def copy(scratch, group, device, aio):
    socket = scratch.path(f"nbd-{aio}.sock")
    target = scratch.path(f"copy-{aio}.img")
    server = group.popen("qemu-nbd", "--persistent", "--format=raw", "--cache=none", f"--aio={aio}",
                         "--read-only", "--socket", socket, device.path)
    try:
        lib.eventually(lambda: os.path.exists(socket) or server.poll() is not None, 10, "nbd socket")
        lib.check(server.poll() is None, "qemu-nbd runs")
        lib.run("nbdcopy", f"nbd+unix:///?socket={socket}", target)
    finally:
        server.kill()
        server.wait()
    return target


def test(scratch):
    lib.need("qemu-nbd", "nbdcopy")
    device = scratch.loop(SIZE)
    with open(device.backing, "r+b") as stream:  # not yet open through the loop device's cache
        stream.write(os.urandom(SIZE))
    blkio = scratch.blkio([device])
    for aio in ("threads", "native"):
        group = blkio.group(aio)
        target = copy(scratch, group, device, aio)
        lib.check(filecmp.cmp(device.backing, target, shallow=False), f"{aio}: the copy is identical")
        moved = group.bytes(device, "Read")
        lib.check(moved >= SIZE, f"{aio}: the server's group has {moved} bytes of {SIZE}")
    lib.check(blkio.bytes(device, "Read") == 0, "root has none")


lib.main(test)
