# SPDX-License-Identifier: MIT
"""crun starts a container with a weight and four limits and runs a program in it.

512 reads of 4 KiB at 1 MiB/s: the last one goes 511 * 4 KiB / 1 MiB/s = 1.996 s after the first.
"""
import os

import containers
import lib
import stacked
from lib import KIB, MIB


@stacked.alone
def test(scratch):
    lib.need("crun")
    containers.need_busybox()
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    if os.path.ismount("/sys/fs/cgroup/unified"):  # crun knows either version, not both
        stacked.bind(scratch.make_directory("unified"), "/sys/fs/cgroup/unified")
    block_io = {
        "weight": 300,
        "throttleReadBpsDevice": [containers.throttle(device, MIB)],
        "throttleWriteBpsDevice": [containers.throttle(device, 2 * MIB)],
        "throttleReadIOPSDevice": [containers.throttle(device, 5000)],
        "throttleWriteIOPSDevice": [containers.throttle(device, 6000)],
    }
    with containers.Container(scratch, "crun", device, block_io) as container:
        init = container.start()
        group = lib.Group(blkio.path + container.cgroup)
        expected = {
            "blkio.weight": "300\n",
            "blkio.bfq.weight": "300\n",
            "blkio.throttle.read_bps_device": f"{device.number} {MIB}\n",
            "blkio.throttle.write_bps_device": f"{device.number} {2 * MIB}\n",
            "blkio.throttle.read_iops_device": f"{device.number} 5000\n",
            "blkio.throttle.write_iops_device": f"{device.number} 6000\n",
            "cgroup.procs": f"{init}\n",
        }
        for file, text in expected.items():
            lib.check(group.read(file) == text, f"{file}: {group.read(file)!r}, not {text!r}")
        seconds = container.dd(f"if={containers.DISK}", "of=/dev/null", "bs=4k", "count=512",
                               "iflag=direct")
        lib.check_duration(seconds, 511 * 4 * KIB / MIB, 0.03, "2 MiB read in the container")
        lib.check(group.bytes(device, "Read") == 2 * MIB, "all the bytes are the container's")
        lib.check(group.ios(device, "Read") == 512, "so are the requests")
        container.delete()


lib.main(test, tries=3)
