# SPDX-License-Identifier: MIT
"""fio's cgroup= and cgroup_weight=: it finds the hierarchy, makes groups and moves its jobs there.

A job in a group limited to 1 MiB/s: of its 256 reads of 4 KiB the last one goes
255 * 4 KiB / 1 MiB/s = 0.996 s after the first.
"""
import json
import os

import lib
import stacked
from lib import KIB, MIB


def fio(device, *jobs):
    """Runs the jobs side by side; returns them by name, as fio's JSON has them."""
    common = ["fio", "--output-format=json", "--direct=1", f"--filename={device.path}", "--bs=4k",
              "--allow_file_create=0"]
    report = lib.run(*common, *(word for job in jobs for word in job))
    return {job["jobname"]: job for job in json.loads(report[report.index("{"):])["jobs"]}


@stacked.alone
def test(scratch):
    lib.need("fio")
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    limited = blkio.group("limited")
    limited.limit("read_bps", device, MIB)
    jobs = fio(device,
               ["--name=heavy", "--rw=write", "--size=400k", "--cgroup=heavy",
                "--cgroup_weight=750", "--cgroup_nodelete=1"],
               ["--name=nested", "--rw=read", "--size=80k", "--cgroup=limited/nested",
                "--cgroup_weight=120", "--cgroup_nodelete=1"],
               ["--name=gone", "--rw=read", "--size=40k", "--cgroup=gone",
                "--cgroup_weight=100", "--cgroup_nodelete=0"])
    lib.check(all(job["error"] == 0 for job in jobs.values()), f"a job failed: {jobs}")
    heavy, nested = lib.Group(blkio.path + "/heavy"), lib.Group(limited.path + "/nested")
    lib.check(heavy.read("blkio.weight") == "750\n", "the weight fio set")
    lib.check(nested.read("blkio.weight") == "120\n", "the weight of the nested group")
    lib.check(heavy.count("blkio.io_serviced", device, "Write") == 100, "400 KiB in 4 KiB each")
    lib.check(nested.count("blkio.io_service_bytes", device, "Read") == 80 * KIB, "its reads")
    lib.check(limited.count("blkio.io_serviced_recursive", device, "Total") == 20, "the subtree's")
    lib.check(not os.path.exists(blkio.path + "/gone"), "fio removed the group it made")

    jobs = fio(device, ["--name=held", "--rw=read", "--size=1m", "--cgroup=limited",
                        "--cgroup_nodelete=1"])
    seconds = jobs["held"]["read"]["runtime"] / 1000  # ms
    lib.check_duration(seconds, 255 * 4 * KIB / MIB, 0.03, "1 MiB read in the limited group")


lib.main(test, tries=3)
