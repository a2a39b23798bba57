# SPDX-License-Identifier: MIT
"""state=FILE: bursts, totals, sizes, tokens and switches survive a kill -9, and bind again: what was
set by the tool and by the files, in the file before the answer.
"""
import lib
import workload
from lib import KIB
from tool import Tool

SET = ("bps=50Mi", "bps_rd=10Mi", "bps_rd_max=100Mi", "bps_rd_max_length=3", "iops=5000",
       "iops_max=9000", "iops_size=8192", "max_hold=60000", "--dry-run")


def test(scratch):
    device = scratch.image()
    blkio = scratch.blkio([device], f"state={scratch.path('state')}")
    tool = Tool(blkio.mount)
    many, paced, strict = (blkio.group(name) for name in ("many", "paced", "strict"))
    tool.run("throttle", "set", "many", device.number, *SET)
    tool.run("throttle", "set", "strict", device.number, "iops=10", "--qemu-strict")
    tool.run("tokens", "set", "many", device.number, "credit=5000/s@50ms")
    paced.limit("total_iops", device, 20)
    paced.limit("total_iops_max", device, 100)
    paced.write("blkio.tokens.max_device", f"{device.number} 5")
    paced.write("blkio.tokens.refill_device", f"{device.number} 2@100ms")
    questions = [(command, group, device.number) for command in (("throttle", "get"),)
                 for group in ("many", "paced", "strict")]

    def picture():
        return [tool.json(*command, *place) for command, *place in questions] + [
            many.read("blkio.tokens.max_device"), many.read("blkio.tokens.refill_device"),
            paced.read("blkio.tokens.max_device"), paced.read("blkio.tokens.refill_device")]

    before = picture()
    blkio.kill()
    blkio.start_daemon()
    after = picture()
    lib.check(before == after, f"{before} became {after}")

    # 5 tokens at once, then 2 in each 100 ms: the last two of 25 reads at 1 s, or 0.1 s before, if
    # the first period had begun. The burst of 100 never binds.
    lib.check_duration(paced.call(workload.seconds, device.path, "read", 4 * KIB, 25), 0.95, 0.15,
                       "25 reads with tokens")
    tool.refused("cannot be used at the same time", "throttle", "set", "strict", device.number,
                 "iops=10", "iops_rd=10", "--qemu-strict")
    lib.check_errno("EINVAL", strict.limit, "read_iops", device, 10)
    tool.run("throttle", "set", "many", device.number, "bps=0")
    tool.run("tokens", "set", "many", device.number, "tokens-max=0", "tokens-refill=0")
    blkio.kill()
    blkio.start_daemon()
    gone = tool.json("throttle", "get", "many", device.number)
    lib.check(gone["bps"] == 0 and not gone["dry_run"], "what was removed is back")


lib.main(test, tries=3)
