# SPDX-License-Identifier: MIT
"""runc's libcontainer, as Kubernetes and others link it: it makes and joins a group, sets weights and
limits, and reads statistics."""
import os

import go_clients
import lib
import stacked
from lib import MIB

STATISTICS = {
    "sectors_recursive": "blkio.bfq.sectors_recursive",
    "io_service_time_recursive": "blkio.bfq.io_service_time_recursive",
    "io_wait_time_recursive": "blkio.bfq.io_wait_time_recursive",
    "io_merged_recursive": "blkio.bfq.io_merged_recursive",
    "io_queue_recursive": "blkio.bfq.io_queued_recursive",
    "io_time_recursive": "blkio.bfq.time_recursive",
    "io_serviced_recursive": "blkio.bfq.io_serviced_recursive",
    "io_service_bytes_recursive": "blkio.bfq.io_service_bytes_recursive",
}


def resources(device, weight, read_bps):
    major, minor = map(int, device.number.split(":"))
    number = {"major": major, "minor": minor}
    return {
        "blkio_weight": weight,
        "blkio_leaf_weight": 150,
        "blkio_weight_device": [{**number, "weight": 700, "leafWeight": 250}],
        "blkio_throttle_read_bps_device": [{**number, "rate": read_bps}],
        "blkio_throttle_write_bps_device": [{**number, "rate": 8 * MIB}],
        "blkio_throttle_read_iops_device": [{**number, "rate": 7000}],
        "blkio_throttle_write_iops_device": [{**number, "rate": 6000}],
    }


def files(device, weight, read_bps):
    number = device.number
    return {
        "blkio.weight": f"{weight}\n",
        "blkio.bfq.weight": f"{weight}\n",
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
    client = go_clients.Client("libcontainer",
                               "github.com/opencontainers/runc/libcontainer/cgroups/fs")
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    group = lib.Group(f"{blkio.path}/{os.path.basename(scratch.directory)}/inner")

    reader = go_clients.start_reader(group, device)
    client("apply", group.path, reader.pid)
    go_clients.check_files(group, {"cgroup.procs": f"{reader.pid}\n"})
    lib.check(not any(client("stats", group.path).values()), "an idle group has no statistics")
    client("set", group.path, resources=resources(device, 300, MIB))
    go_clients.check_files(group, files(device, 300, MIB))
    go_clients.check_limited(reader)

    stats = client("stats", group.path)
    go_clients.check_same_statistics(group, stats, STATISTICS)
    reads = [row["value"] for row in stats["io_serviced_recursive"] if row["op"] == "Read"]
    lib.check(reads == [256], f"the reads it has seen: {reads}")
    parent = client("stats", os.path.dirname(group.path))
    lib.check(parent == stats, f"the group above has seen the same, not {parent}")

    client("set", group.path, resources=resources(device, 400, 2 * MIB))
    go_clients.check_files(group, files(device, 400, 2 * MIB))


lib.main(test, tries=3)
