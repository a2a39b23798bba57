# SPDX-License-Identifier: MIT
"""`blkioctl throttle set`: all limits of a group on a device at once or none, by any of QEMU's names,
with QEMU's words for what is wrong; the files show the same, and take part."""
import lib
from lib import MIB
from tool import Tool

LIMITS = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")
UNSET = {**{limit: 0 for limit in LIMITS}, **{f"{limit}_max": 0 for limit in LIMITS},
         **{f"{limit}_max_length": 1 for limit in LIMITS}, "iops_size": 0,
         "max_hold": 0, "dry_run": False, "qemu_strict": False, "shared": "0"}
EXCLUSIVE = "bps/iops/max total values and read/write values cannot be used at the same time"


def check_files(tool, group, device):
    """What the tool sets the files show, and the other way round."""
    number = device.number
    tool.run("throttle", "set", "a", number, "bps=1Mi", "throttling.bps-total-max=10M",
             "bps-total-max-length=3", "iops_rd=100", "iops-size=4Ki", "max_hold=5000", "--dry-run")
    expected = {**UNSET, "bps": MIB, "bps_max": 10_000_000, "bps_max_length": 3, "iops_rd": 100,
                "iops_size": 4096, "max_hold": 5000, "dry_run": True}
    found = tool.json("throttle", "get", "/a/", number)
    lib.check(found == expected, f"{found}")
    for name, value in (("total_bps", MIB), ("total_bps_max", 10_000_000),
                        ("total_bps_max_length", 3), ("read_iops", 100), ("iops_size", 4096),
                        ("max_hold", 5000), ("dry_run", 1)):
        lib.check(group.read(f"blkio.throttle.{name}_device") == f"{number} {value}\n", name)
    group.limit("write_bps", device, 12345)
    group.limit("total_bps_max_length", device, 0)
    group.limit("dry_run", device, 0)
    expected.update(bps_wr=12345, bps_max_length=1, dry_run=False)
    lib.check(tool.json("throttle", "get", "a", number) == expected, "after writes to files")


def check_replay(tool, device):
    """What `get` prints, `set` takes."""
    shown = tool.run("throttle", "get", "a", device.number)
    lib.check(len(shown.splitlines()) == len(UNSET), shown)
    tool.run("throttle", "set", "a", device.number, "bps=0")
    lib.check(tool.json("throttle", "get", "a", device.number) == UNSET, "0 for all is no limit")
    tool.run("throttle", "set", "a", device.number, *shown.split())
    lib.check(tool.run("throttle", "get", "a", device.number) == shown, "the same again")


def check_refusals(tool, device):
    def refused(reason, *words):
        tool.refused(reason, "throttle", "set", "a", device.number, *words)
        lib.check(tool.json("throttle", "get", "a", device.number) == before, "nothing has changed")

    tool.run("throttle", "set", "a", device.number, "iops=10", "--qemu-strict")
    before = tool.json("throttle", "get", "a", device.number)
    lib.check(before == {**UNSET, "iops": 10, "qemu_strict": True}, f"{before}")
    refused(EXCLUSIVE, "iops=10", "iops_rd=10", "--qemu-strict")
    refused("iops size requires an iops value to be set", "iops_size=4096")
    for wrong in ("1000000000000001", "-1", "-150", "99999999999999999999"):
        refused("bps/iops/max values must be within [0, 1000000000000000]", f"bps={wrong}")
    refused("the burst length cannot be 0", "bps=1", "bps_max=1", "bps_max_length=0")
    refused("burst length set without burst rate", "bps=1", "bps_max_length=2")
    refused("burst length too high for this burst rate", "bps=1", "bps_max=1G",
            "bps_max_length=1000001")
    refused("bps_max/iops_max require corresponding bps/iops values", "iops_wr_max=100")
    refused("bps_max/iops_max cannot be lower than bps/iops", "iops_wr=100", "iops_wr_max=30")
    refused("bps-read-max-length value must be in the range [0, 4294967295]",
            "throttling.bps-read-max-length=4294967296")
    refused("'throttling.iops-total' and its alias 'iops' can't be used at the same time",
            "iops=10", "throttling.iops-total=10")
    refused("bps=10x", "bps=10x")
    refused("bpz: no such limit", "bpz=1")
    refused("max_hold", "max_hold=4294967296")
    refused("--nothing", "bps=1", "--nothing")
    tool.refused("/b: no such group", "throttle", "set", "b", device.number, "bps=1")
    tool.refused("99:99: no such device is proxied", "throttle", "set", "a", "99:99", "bps=1")
    tool.refused("LIMIT", "throttle", "set", "a", device.number)


def check_moves(tool, blkio, device):
    """As a drive that moves from group to group: where it is not, nothing changes."""
    names = ("group0", "group1", "group2")
    for name in names:
        blkio.group(name)
    there = None
    for name in ("group0", None, "group0", "group1", "group2", None):
        if there is not None:
            tool.run("throttle", "set", there, device.number, "bps=0")
        if name is not None:
            tool.run("throttle", "set", name, device.number, "iops=1000")
        there = name
        for other in names:
            expected = {**UNSET, "iops": 1000 if other == name else 0}
            lib.check(tool.json("throttle", "get", other, device.number) == expected, other)


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device])
    group = blkio.group("a")
    tool = Tool(blkio.mount)
    lib.check(tool.json("throttle", "get", "a", device.number) == UNSET, "nothing is set")
    lib.check(group.read("blkio.throttle.stat") == "", "and asking is not setting")
    check_files(tool, group, device)
    check_replay(tool, device)
    check_refusals(tool, device)
    check_moves(tool, blkio, device)
    name = tool.json("devices")[0]["name"]
    tool.run("throttle", "set", "/", name, "bps_wr=7")  # the root group, and the device's name
    lib.check(blkio.read("blkio.throttle.write_bps_device") == f"{device.number} 7\n", name)


lib.main(test)
