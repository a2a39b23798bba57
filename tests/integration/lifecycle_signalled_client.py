# SPDX-License-Identifier: MIT
"""A signal that a client handles does not end its held read: no device answers EINTR.

The first signal is all the kernel tells the daemon of; a deadly one after it must work all the same.
"""
import ctypes
import os
import signal
import time

import lib
import workload
from lib import KIB


def read_under_signals(path):
    """Error number and bytes of a read during which a timer's signal is handled again and again."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = workload.open_file(path)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)  # the kernel restarts nothing
    target = ctypes.create_string_buffer(8 * KIB)
    address = (ctypes.addressof(target) + 4 * KIB - 1) // (4 * KIB) * (4 * KIB)
    # Python itself would try again after an EINTR.
    read = [libc.pread(descriptor, ctypes.c_void_p(address), 4 * KIB, ctypes.c_long(0))]
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    read.append(libc.pread(descriptor, ctypes.c_void_p(address), 4 * KIB, ctypes.c_long(0)))
    error = ctypes.get_errno() if read[1] < 0 else 0
    return error, read[1]


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    group = blkio.group("slow")
    group.limit("read_bps", device, 4 * KIB)  # the second read waits for 1 s
    lib.check(group.call(read_under_signals, device.path) == (0, 4 * KIB), "the read is whole")

    group = blkio.group("stopped")
    group.limit("read_bps", device, 1)
    job = group.start(read_under_signals, device.path)
    lib.eventually(lambda: group.ios(device, "Read") == 2, 5, "its second read waits")
    time.sleep(0.2)
    lib.check(job.running(), "it is held, signals or not")
    start = time.monotonic()
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    seconds = time.monotonic() - start
    print(f"dead after {1000 * seconds:.1f} ms")
    lib.check_in_time(seconds < 0.3, f"took {seconds:.3f} s")  # looked at every 0.1 s


lib.main(test, tries=3)
