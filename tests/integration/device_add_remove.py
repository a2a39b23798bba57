# SPDX-License-Identifier: MIT
"""blkioctl device add, device remove and scheduler, while the daemon runs and others do their I/O."""
import errno
import os
import subprocess
import time

import lib
import workload
from lib import KIB, MIB


def blkioctl(blkio, *words, fails=False):
    done = subprocess.run([lib.binary("blkioctl"), "-m", blkio.mount, *words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    lib.check((done.returncode != 0) == fails, f"{words}: {done.returncode}: {done.stderr}")
    return done.stderr if fails else done.stdout


def test(scratch):
    first, second, image = scratch.loop(), scratch.loop(), scratch.image()
    state = scratch.path("state")
    blkio = scratch.blkio([first], f"state={state}")
    group = blkio.group("g")
    blkio.limit("read_bps", first, 16 * MIB)
    lib.check_errno("ENODEV", group.limit, "read_bps", second, MIB)
    neighbour = group.start(workload.seconds, first.path, "read", 4 * KIB, 4096)  # a second of it

    # A block device, and a file under a number of its own.
    added = blkioctl(blkio, "device", "add", second.source)
    second.path = os.path.join(blkio.devdir, os.path.basename(second.source))
    lib.check(added == f"{second.number} {second.path}\n", added)
    blkioctl(blkio, "device", "add", f"{image.number}={image.source}")
    image.path = os.path.join(blkio.devdir, os.path.basename(image.source))
    group.limit("read_bps", second, MIB)
    lib.check_duration(group.call(workload.seconds, second.path, "read", 4 * KIB, 65), 0.25, 0.05,
                       "256 KiB at 1 MiB/s on the device that was added")
    group.call(workload.seconds, image.path, "write", 4 * KIB, 3)
    lib.check(group.ios(image, "Write") == 3, "writes to the image are counted")

    # What cannot be.
    lib.check("is already that of" in blkioctl(blkio, "device", "add", second.source, fails=True), "")
    lib.check("a regular file needs a number" in
              blkioctl(blkio, "device", "add", image.source, fails=True), "")
    lib.check("No such file" in blkioctl(blkio, "device", "add", "/no/such", fails=True), "")
    lib.check("no such device" in blkioctl(blkio, "device", "remove", "8:250", fails=True), "")

    # Weights act, or do not.
    group.write("blkio.weight_device", f"{second.number} 200")
    blkioctl(blkio, "scheduler", second.number, "none")
    lib.check_errno("EOPNOTSUPP", group.write, "blkio.weight_device", f"{second.number} 300")
    blkioctl(blkio, "scheduler", os.path.basename(second.path), "bfq")
    lib.check(f"{second.number}" in group.read("blkio.weight_device"), "the weight is there again")

    # Away with it, while somebody reads as fast as he may.
    job = group.start(workload.read_until_error, second.path)
    time.sleep(0.1)
    begun = time.monotonic()
    blkioctl(blkio, "device", "remove", second.number)
    lib.check_in_time(time.monotonic() - begun < 1, "the removal takes a second")
    lib.check(job.result(5) in (errno.EIO, errno.ECONNABORTED, errno.ENOTCONN), "his error")
    lib.check(not os.path.lexists(second.path), "its name is gone")
    lib.check_errno("ENODEV", group.limit, "read_bps", second, MIB)
    lib.check(second.number not in group.read("blkio.throttle.read_bps_device"), "its rule is gone")
    lib.check(group.ios(second) == 0, "its counters are gone")
    subprocess.run(["losetup", "-d", second.source], check=True)  # nobody holds it

    # And again, empty; by its name.
    blkioctl(blkio, "device", "add", f"{second.number}=null:1Mi")
    lib.check(group.read("blkio.throttle.read_bps_device") == "", "no rule came back")
    blkioctl(blkio, "device", "remove", f"null{second.number.partition(':')[2]}")
    neighbour.result(10)

    # A device that is absent after a restart keeps what it had until it is back.
    group.limit("write_bps", image, 5 * MIB)
    lib.check(not blkio.stop(), "the daemon stops")
    blkio.start_daemon()
    lib.check(group.read("blkio.throttle.write_bps_device") == "", "a rule of an absent device")
    lib.check(not blkio.stop(), "the daemon stops")
    blkio.start_daemon()
    blkioctl(blkio, "device", "add", f"{image.number}={image.source}")
    lib.check(group.read("blkio.throttle.write_bps_device") == f"{image.number} {5 * MIB}\n", "rule")
    lib.check(group.ios(image, "Write") == 3, "the writes of long ago")


lib.main(test, tries=3)
