# SPDX-License-Identifier: MIT
"""A loop device over the proxied file is read by kernel threads: charged to the group that attached
it, or, with group=MAJ:MIN=PATH, to that one; never to whoever reads the loop device.
"""
import lib
import workload
from lib import KIB


def read_through_loop(group, reader, device):
    top = group.run("losetup", "--find", "--show", device.path).strip()
    try:
        reader.call(workload.seconds, top, "read", 64 * KIB, 16)
    finally:
        lib.run("losetup", "--detach", top)


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device], name="opener")
    opener, reader = blkio.group("opener"), blkio.group("reader")
    read_through_loop(opener, reader, device)
    lib.check(opener.bytes(device, "Read") >= 16 * 64 * KIB, "the opener's group has the reads")
    lib.check(reader.bytes(device, "Read") == 0, "the reader's has none")
    lib.check(not blkio.stop(), "clean stop")

    device = scratch.loop()
    blkio = scratch.blkio([device], f"group={device.number}=/mounted", name="given")
    given, opener, reader = (blkio.group(name) for name in ("mounted", "opener", "reader"))
    read_through_loop(opener, reader, device)
    lib.check(given.bytes(device, "Read") >= 16 * 64 * KIB, "the given group has the reads")
    lib.check(reader.bytes(device, "Read") == 0, "the reader's has none")


lib.main(test)
