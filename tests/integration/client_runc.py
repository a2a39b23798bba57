# SPDX-License-Identifier: MIT
"""runc: run, exec, update, events and delete of a container with weights and limits.

256 reads of 4 KiB at 1 MiB/s: the last one goes 255 * 4 KiB / 1 MiB/s = 0.996 s after the first.
"""
import json
import os

import containers
import lib
import stacked
from lib import KIB, MIB


def check_files(group, expected):
    for file, text in expected.items():
        lib.check(group.read(file) == text, f"{file}: {group.read(file)!r}, not {text!r}")


def check_events(container, device):
    """`events` says what the statistics files say: 256 reads and 16 writes of 4 KiB."""
    report = json.loads(container.call("events", "--stats", container.name))["data"]["blkio"]
    major, minor = map(int, device.number.split(":"))
    unit = {"ioServicedRecursive": 1, "ioServiceBytesRecursive": 4 * KIB}
    for name, size in unit.items():
        found = {row["op"]: row.get("value", 0) for row in report[name]
                 if (row.get("major", 0), row.get("minor", 0)) == (major, minor)}
        expected = {"Read": 256 * size, "Write": 16 * size, "Sync": 272 * size, "Async": 0,
                    "Discard": 0, "Total": 272 * size}
        lib.check(found == expected, f"{name}: {found}, not {expected}")


def need_mirror(blkio):
    """runc makes the first process of a container with CLONE_PARENT: only the kernel's own record
    knows which group its creator was in. See docs/membership.md."""
    status = blkio.ctl_json("status")
    if not status["membership"].startswith("mirror"):
        raise lib.Skip(f"membership by {status['membership']} does not follow CLONE_PARENT")


@stacked.alone
def test(scratch):
    lib.need("runc")
    containers.need_busybox()
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    need_mirror(blkio)
    block_io = {
        "weight": 300,
        "leafWeight": 150,
        "weightDevice": [{**containers.throttle(device, 0), "weight": 700, "leafWeight": 250}],
        "throttleReadBpsDevice": [containers.throttle(device, MIB)],
        "throttleWriteIOPSDevice": [containers.throttle(device, 6000)],
    }
    with containers.Container(scratch, "runc", device, block_io) as container:
        init = container.start()
        group = lib.Group(blkio.path + container.cgroup)
        check_files(group, {
            "blkio.weight": "300\n",
            "blkio.leaf_weight": "150\n",
            "blkio.weight_device": f"dev     weight\n{device.number:<7} 700\n",
            "blkio.leaf_weight_device": f"dev     weight\n{device.number:<7} 250\n",
            "blkio.throttle.read_bps_device": f"{device.number} {MIB}\n",
            "blkio.throttle.write_bps_device": "",
            "blkio.throttle.write_iops_device": f"{device.number} 6000\n",
            "cgroup.procs": f"{init}\n",  # of which runc moved the creator's creator
        })
        seconds = container.dd(f"if={containers.DISK}", "of=/dev/null", "bs=4k", "count=256",
                               "iflag=direct")
        lib.check_duration(seconds, 255 * 4 * KIB / MIB, 0.03, "1 MiB read in the container")
        container.dd("if=/dev/zero", f"of={containers.DISK}", "bs=4k", "count=16", "conv=notrunc",
                     "oflag=direct")
        check_events(container, device)

        container.call("update", "--blkio-weight", "400", container.name)
        check_files(group, {
            "blkio.weight": "400\n",
            "blkio.weight_device": f"dev     weight\n{device.number:<7} 700\n",
            "blkio.throttle.read_bps_device": f"{device.number} {MIB}\n",
        })
        container.delete()
        lib.check(not os.path.exists(group.path), "the group is gone")


lib.main(test, tries=3)
