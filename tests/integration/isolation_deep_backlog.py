# SPDX-License-Identifier: MIT
"""256 reads held in one group leave another at least 0.9 of the throughput it has alone.

Alone and beside it are measured in turns; the best of a few turns counts, for the machine is noisy.
"""
import time

import lib

TURNS = 3
BACKLOG = 256


def throughput(group, device):
    job = group.fio(device, "--rw=randread", "--bs=4k", "--ioengine=psync", "--time_based",
                    "--runtime=1", "--size=32m")
    return job["read"]["iops"]


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    slow, free = blkio.group("slow"), blkio.group("free")
    slow.limit("read_iops", device, 1)
    ratios = []
    for _ in range(TURNS):
        alone = throughput(free, device)
        seen = slow.ios(device, "Read")
        backlog = slow.fio_process(device, "--rw=randread", "--bs=4k", "--ioengine=libaio",
                                   f"--iodepth={BACKLOG}", "--time_based", "--runtime=60",
                                   "--size=32m")
        lib.eventually(lambda: slow.ios(device, "Read") - seen >= BACKLOG, 10, "the backlog stands")
        time.sleep(0.1)
        beside = throughput(free, device)
        backlog.kill()
        backlog.wait()
        ratios.append(beside / alone)
        print(f"alone {alone:.0f}/s, beside {BACKLOG} held reads {beside:.0f}/s", flush=True)
        if ratios[-1] >= 0.9:
            return
    lib.check_in_time(False, f"a backlog costs others too much: {ratios}")


lib.main(test, tries=3)
