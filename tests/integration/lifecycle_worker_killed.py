# SPDX-License-Identifier: MIT
"""The worker is killed under load with requests held: whoever waits gets an error, nobody hangs, and
nothing is left behind.
"""
import os
import signal

import lib
import mixed_load


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device], foreground=False)
    load = mixed_load.start(blkio, device)
    with lib.no_kernel_complaints():
        os.kill(blkio.worker(), signal.SIGKILL)
        seconds = lib.eventually(lambda: not blkio.pids(), 5, "the holder has cleaned up")
        print(f"gone after {seconds:.3f} s")
        load.ends_with_errors(5)
    lib.check(not lib.mounts_below(scratch.directory), "no mount is left")
    lib.check(os.listdir(blkio.devdir) == [], "no link is left")


lib.main(test)
