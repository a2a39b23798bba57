# SPDX-License-Identifier: MIT
"""Four threads of one process, each in its own group by way of `tasks`, share one descriptor table
but not one account: thread n reads 10 * n blocks.
"""
import threading

import lib
import workload
from lib import KIB


def threads(groups, path):
    failures = []

    def work(group, count):
        try:
            group.enter_thread()
            workload.seconds(path, "read", 4 * KIB, count)
        except BaseException as error:
            failures.append(repr(error))

    running = [threading.Thread(target=work, args=(group, 10 * (index + 1)))
               for index, group in enumerate(groups)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return failures


def test(scratch):
    device = scratch.loop()
    blkio = scratch.blkio([device])
    home = blkio.group("home")
    groups = [blkio.group(f"thread{index}") for index in range(4)]
    failures = home.call(threads, groups, device.path)
    lib.check(not failures, f"threads failed: {failures}")
    counted = [group.ios(device, "Read") for group in groups]
    lib.check(counted == [10, 20, 30, 40], f"counted {counted}, not [10, 20, 30, 40]")
    lib.check(home.ios(device, "Read") == 0, "the process's own group has none")


lib.main(test)
