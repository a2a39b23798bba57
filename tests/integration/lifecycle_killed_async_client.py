# SPDX-License-Identifier: MIT
"""lifecycle_killed_async_client.py ENGINE: 128 held requests, the client killed: its process is gone
within 0.3 s as a rule, 1 s at most. The kernel interrupts few of these requests, so the daemon has to
notice by itself that their owner is exiting.
"""
import sys
import time

import lib


def test(scratch):
    device = scratch.loop()
    group = scratch.blkio([device]).group("held")
    group.limit("read_iops", device, 1)
    client = group.fio_process(device, "--rw=randread", "--bs=4k", f"--ioengine={sys.argv[1]}",
                               "--iodepth=128", "--time_based", "--runtime=60", "--size=32m")
    lib.eventually(lambda: group.ios(device, "Read") >= 128, 10, "the backlog stands")
    time.sleep(0.2)
    start = time.monotonic()
    client.kill()
    client.wait(timeout=30)
    lib.eventually(lambda: not group.read("tasks"), 30, "the group is empty")
    seconds = time.monotonic() - start
    print(f"gone after {1000 * seconds:.0f} ms")
    lib.check(seconds < 1, f"took {seconds:.3f} s")


lib.main(test)
