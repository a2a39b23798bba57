# SPDX-License-Identifier: MIT
"""libcgroup's tools: create, set, get, copy, exec, classify, list, snapshot, replay, delete.

    web     weight 500, 300 on the device, reads at 1 MiB/s
      front owned by nobody
    other   a copy of web

16 reads of 64 KiB at 1 MiB/s: the last one goes 15 * 64 KiB / 1 MiB/s = 0.9375 s after the first.
"""
import grp
import os
import pwd
import re
import subprocess

import lib
import stacked
from lib import KIB, MIB

TOOLS = ("cgcreate", "cgset", "cgget", "cgexec", "cgclassify", "lscgroup", "cgsnapshot",
         "cgconfigparser", "cgdelete")


def check_text(found, expected, what):
    lib.check(found == expected, f"{what}: {found!r}, not {expected!r}")


def create(web, front):
    lib.run("cgcreate", "-t", "nobody:nogroup", "-a", "nobody:nogroup", "-d", "750", "-f", "640",
            "-s", "660", "-g", "blkio:web/front")
    owner = (pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid)
    modes = {front.path: 0o750, front.path + "/blkio.weight": 0o640, front.path + "/tasks": 0o660}
    for path, mode in modes.items():
        status = os.stat(path)
        lib.check((status.st_uid, status.st_gid) == owner, f"{path} is nobody's")
        lib.check(status.st_mode & 0o777 == mode, f"{path} has mode {status.st_mode:o}")
    lib.check(os.stat(web.path).st_uid == 0, "the parent it made is root's")


def set_and_get(web, number):
    lib.run("cgset", "-r", "blkio.weight=500", "-r", f"blkio.weight_device={number} 300",
            "-r", f"blkio.throttle.read_bps_device={number} {MIB}", "web")
    check_text(web.read("blkio.weight"), "500\n", "blkio.weight")
    check_text(lib.run("cgget", "-nv", "-r", "blkio.throttle.read_bps_device", "web"),
               f"{number} {MIB}\n", "cgget of one file")
    # Every file but reset_stats, which nobody can read, with the lines after a first one indented.
    listing = lib.run("cgget", "-n", "-g", "blkio", "web")
    files = [name for name in os.listdir(web.path) if name.startswith("blkio.")]
    for name in files:
        text = "" if name == "blkio.reset_stats" else web.read(name)
        expected = f"{name}: " + text.rstrip("\n").replace("\n", "\n\t") + "\n"
        lib.check(expected in listing, f"cgget -g has no {expected!r} in\n{listing}")
    lib.check(len(re.findall(r"^blkio\.", listing, re.MULTILINE)) == len(files), "and no other")


def run_and_move(web, front, device):
    report = subprocess.run(
        ["cgexec", "-g", "blkio:web", "dd", f"if={device.path}", "of=/dev/null", "bs=64k",
         "count=16", "iflag=direct"], env={**os.environ, "LC_ALL": "C"}, capture_output=True,
        text=True, check=True, timeout=60).stderr
    seconds = float(re.search(r"copied, ([\d.]+) s", report).group(1))
    lib.check_duration(seconds, 15 * 64 * KIB / MIB, 0.03, "1 MiB read by cgexec")
    lib.check(web.bytes(device, "Read") == MIB, "cgexec's reads are the group's")

    waiter = subprocess.Popen(["sleep", "60"])
    lib.children.append(waiter)
    lib.run("cgclassify", "-g", "blkio:web/front", str(waiter.pid))
    check_text(front.read("tasks"), f"{waiter.pid}\n", "tasks after cgclassify")
    lib.run("cgdelete", "blkio:web/front")
    check_text(web.read("tasks"), f"{waiter.pid}\n", "cgdelete moves the tasks to the parent")
    waiter.kill()
    waiter.wait()


def snapshot(scratch, blkio):
    """A file of groups. Its `mount` section is left out: by it cgconfigparser would mount the
    kernel's hierarchy over ours."""
    lib.run("cgcreate", "-g", "blkio:other", "-g", "blkio:web/front")
    lib.run("cgset", "--copy-from", "web", "other")
    check_text(sorted(lib.run("lscgroup", "blkio:/").split()),
               ["blkio:/", "blkio:/other", "blkio:/web", "blkio:/web/front"], "lscgroup")
    unlisted = scratch.path("unlisted")
    open(unlisted, "w", encoding="ascii").close()
    text = lib.run("cgsnapshot", "-s", "-b", unlisted, "blkio", stderr=subprocess.DEVNULL)
    path = scratch.path("groups.conf")
    with open(path, "w", encoding="ascii") as stream:
        stream.write(re.sub(r"^mount \{.*?^\}\n", "", text, flags=re.MULTILINE | re.DOTALL))
    lib.run("cgdelete", "-r", "blkio:web")
    lib.run("cgdelete", "blkio:other")
    check_text(lib.run("lscgroup", "blkio:/").split(), ["blkio:/"], "lscgroup after cgdelete")
    return path


def check_replayed(blkio, number):
    rule, weights = f"{number} {MIB}\n", f"dev     weight\n{number:<7} 300\n"
    for name, weight, device_weights, limit in (("web", 500, weights, rule),
                                                ("other", 500, weights, rule),
                                                ("web/front", 100, "dev     weight\n", "")):
        group = lib.Group(f"{blkio.path}/{name}")
        check_text(group.read("blkio.weight"), f"{weight}\n", f"{name}: blkio.weight")
        check_text(group.read("blkio.weight_device"), device_weights, f"{name}: weight_device")
        check_text(group.read("blkio.throttle.read_bps_device"), limit, f"{name}: read_bps_device")


@stacked.alone
def test(scratch):
    lib.need(*TOOLS)
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    web, front = lib.Group(blkio.path + "/web"), lib.Group(blkio.path + "/web/front")
    create(web, front)
    set_and_get(web, device.number)
    run_and_move(web, front, device)
    path = snapshot(scratch, blkio)
    lib.run("cgconfigparser", "-l", path)
    check_replayed(blkio, device.number)
    lib.run("cgdelete", "-r", "blkio:web")
    lib.check(not os.path.exists(web.path), "the group is gone")


lib.main(test, tries=3)
