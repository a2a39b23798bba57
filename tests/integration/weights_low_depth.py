# SPDX-License-Identifier: MIT
"""A reader with one request at a time keeps its half of a serial device beside one with 32.

Were all that waits sent to the device, it would have one in 33. The device serves a request in
435 us, first in, first out; what each one got is counted there.
"""
import time

import lib
from slow_disk import RANGE, SlowDisk

POINTS = 10


def start(group, device, number, depth):
    return group.fio_process(device, "--rw=randread", "--bs=4k", "--ioengine=libaio",
                             f"--iodepth={depth}", f"--offset={number * RANGE}", f"--size={RANGE}",
                             "--time_based", "--runtime=60", "--norandommap")


def measure(disk, blkio):
    processes = [start(blkio.group(name), disk.device, number, depth)
                 for number, (name, depth) in enumerate((("shallow", 1), ("deep", 32)))]
    lib.eventually(lambda: min(disk.counts()[:2]) > 0, 10, "both read")
    time.sleep(0.5)
    before = disk.counts()
    time.sleep(1.5)
    after = disk.counts()
    for process in processes:
        process.kill()
        process.wait()
    return [new - old for old, new in zip(before, after)][:2]


def test(scratch):
    lib.need("fio")
    disk = SlowDisk(scratch)
    blkio = scratch.blkio([disk.device])
    try:
        done = measure(disk, blkio)
    finally:
        complaints = blkio.stop()
        disk.close()
    lib.check(not complaints, "; ".join(complaints))
    share = 100 * done[0] / sum(done)
    print(f"{done[0]} beside {done[1]}: {share:.1f} %", flush=True)
    lib.check_in_time(abs(share - 50) <= POINTS, f"{share:.1f} % are not about half")


lib.main(test, tries=3)
