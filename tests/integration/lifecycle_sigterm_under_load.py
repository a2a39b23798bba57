# SPDX-License-Identifier: MIT
"""SIGTERM while one group runs at full speed and another is held: exit 0 within a second, held requests
fail, no mount is left and no client hangs.
"""
import os
import signal
import time

import lib


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    busy, slow = blkio.group("busy"), blkio.group("slow")
    slow.limit("write_iops", device, 1)
    common = ["--bs=4k", "--ioengine=libaio", "--iodepth=32", "--time_based", "--runtime=60",
              "--size=32m"]
    clients = [busy.fio_process(device, "--rw=randread", *common),
               slow.fio_process(device, "--rw=randwrite", *common)]
    lib.eventually(lambda: busy.ios(device) > 100 and slow.ios(device) >= 32, 10, "both are at work")

    start = time.monotonic()
    os.kill(blkio.process.pid, signal.SIGTERM)
    code = blkio.process.wait(timeout=10)
    seconds = time.monotonic() - start
    print(f"exit code {code} after {seconds:.3f} s")
    lib.check(code == 0, f"exit code {code}")
    lib.check_in_time(seconds <= 1, f"took {seconds:.3f} s")
    lib.check(not lib.mounts_below(scratch.directory), "no mount is left")
    for client in clients:
        client.communicate(timeout=3)  # an error ends fio; a hang would end in a timeout
        lib.check(client.returncode != 0, "the client was told")


lib.main(test, tries=3)
