# SPDX-License-Identifier: MIT
"""lifecycle_cycles.py COUNT: start, a little I/O, stop, COUNT times over the same places."""
import sys
import time

import lib
import workload
from lib import KIB


def test(scratch):
    device = scratch.loop()
    source = device.path
    count = int(sys.argv[1])
    start = time.monotonic()
    for cycle in range(count):
        device.path = source
        blkio = scratch.blkio([device])
        group = blkio.group("g")
        group.call(workload.seconds, device.path, "write", 4 * KIB, 4)
        lib.check(group.ios(device) == 4, f"cycle {cycle} starts from zero")
        complaints = blkio.stop()
        lib.check(not complaints, f"cycle {cycle}: {complaints}")
        left = lib.mounts_below(scratch.directory)
        lib.check(not left, f"cycle {cycle} leaves {left}")
        left = lib.processes_naming(blkio.mount)
        lib.check(not left, f"cycle {cycle} leaves processes {left}")
    print(f"{count} cycles, {(time.monotonic() - start) / count:.3f} s each")


lib.main(test)
