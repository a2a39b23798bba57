# SPDX-License-Identifier: MIT
"""integrity_fio.py loop|image: random writes of 4 KiB to 1 MiB, 32 at a time, each checked by its
checksum when read back, under limits that change every 100 ms. What fio wrote is also on the device.
"""
import itertools
import sys
import threading

import lib
from lib import MIB

LIMITS = (40 * MIB, 150 * MIB, 0, 20 * MIB, 400 * MIB)
SIZE = 96 * MIB


def test(scratch):
    device = getattr(scratch, sys.argv[1])(SIZE)
    group = scratch.blkio([device]).group("checked")
    done = threading.Event()
    changes = 0

    def change():
        nonlocal changes
        for limit in itertools.cycle(LIMITS):
            if done.wait(0.1):
                return
            group.limit("write_bps", device, limit)
            group.limit("read_bps", device, limit)
            changes += 1

    changer = threading.Thread(target=change)
    changer.start()
    try:
        job = group.fio(device, "--rw=randrw", "--rwmixread=30", "--bssplit=4k/40:64k/30:128k/20:1m/10",
                        "--ioengine=libaio", "--iodepth=32", f"--size={SIZE}",
                        "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--end_fsync=1",
                        "--fallocate=none", "--randseed=20")
    finally:
        done.set()
        changer.join()
    print(f"{job['write']['io_bytes'] >> 20} MiB written, {job['read']['io_bytes'] >> 20} MiB read, "
          f"{changes} changes of the limits")
    lib.check(job["error"] == 0, f"fio reports error {job['error']}")
    lib.check(changes >= 5, "the limits changed while it ran")


lib.main(test)
