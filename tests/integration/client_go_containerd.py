# SPDX-License-Identifier: MIT
"""containerd's cgroups library: a group is made, limited, joined, changed, listed, measured and
removed."""
import os

import containers
import go_clients
import lib
import stacked
from lib import MIB

STATISTICS = {name + "_recursive": f"blkio.{file}_recursive" for name, file in (
    ("sectors", "sectors"), ("io_service_bytes", "io_service_bytes"), ("io_serviced", "io_serviced"),
    ("io_queued", "io_queued"), ("io_service_time", "io_service_time"),
    ("io_wait_time", "io_wait_time"), ("io_merged", "io_merged"), ("io_time", "time"))}


def resources(device, weight, read_bps):
    return {"blockIO": {
        "weight": weight,
        "leafWeight": 150,
        "weightDevice": [{**containers.throttle(device, 0), "weight": 700, "leafWeight": 250}],
        "throttleReadBpsDevice": [containers.throttle(device, read_bps)],
        "throttleWriteBpsDevice": [containers.throttle(device, 8 * MIB)],
        "throttleReadIOPSDevice": [containers.throttle(device, 7000)],
        "throttleWriteIOPSDevice": [containers.throttle(device, 6000)],
    }}


def files(device, weight, read_bps):
    number = device.number
    return {
        "blkio.weight": f"{weight}\n",
        "blkio.leaf_weight": "150\n",
        "blkio.weight_device": f"dev     weight\n{number:<7} 700\n",
        "blkio.leaf_weight_device": f"dev     weight\n{number:<7} 250\n",
        "blkio.throttle.read_bps_device": f"{number} {read_bps}\n",
        "blkio.throttle.write_bps_device": f"{number} {8 * MIB}\n",
        "blkio.throttle.read_iops_device": f"{number} 7000\n",
        "blkio.throttle.write_iops_device": f"{number} 6000\n",
    }


@stacked.alone
def test(scratch):
    client = go_clients.Client("containerd", "github.com/containerd/cgroups")
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    path = f"/{os.path.basename(scratch.directory)}/inner"
    group = lib.Group(blkio.path + path)

    client("create", path, resources=resources(device, 300, MIB))
    go_clients.check_files(group, files(device, 300, MIB))
    reader = go_clients.start_reader(group, device)
    client("add", path, reader.pid)
    listed = [process["Pid"] for process in client("list", path)]
    lib.check(listed == [reader.pid], f"in the group: {listed}")
    go_clients.check_limited(reader)

    stats = client("stats", path)
    go_clients.check_same_statistics(group, stats, STATISTICS)
    names = {row["device"] for row in stats["io_serviced_recursive"]}
    lib.check(names == {device.source}, f"it knows the device as {names}")
    parent = client("stats", os.path.dirname(path))
    lib.check(parent == stats, f"the group above has seen the same, not {parent}")

    client("update", path, resources=resources(device, 400, 2 * MIB))
    go_clients.check_files(group, files(device, 400, 2 * MIB))
    client("delete", path)
    lib.check(not os.path.exists(group.path), "the group is gone")


lib.main(test, tries=3)
