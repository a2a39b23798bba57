# SPDX-License-Identifier: MIT
"""soak_data_path.py TRANSPORT SECONDS: four devices on two engines, two groups on each, limits, bursts
and weights that change twenty times a second. Every byte is checked by fio; every request is counted
once; the daemon's memory does not grow.
"""
import os
import random
import sys
import threading
import time

import lib
from lib import KIB, MIB

HALF = 32 * MIB
SLACK_BYTES = 16 * MIB


class Client(threading.Thread):
    """Runs of fio in one group, each over the group's half of the device."""

    def __init__(self, group, device, offset, depth, end):
        super().__init__()
        self.group, self.device, self.offset, self.depth, self.end = group, device, offset, depth, end
        self.bytes = 0
        self.runs = 0
        self.error = None

    def run(self):
        try:
            while time.monotonic() < self.end:
                job = self.group.fio(
                    self.device, "--rw=randrw", "--rwmixread=30", "--ioengine=libaio",
                    "--bssplit=4k/50:16k/20:128k/25:1m/5", f"--iodepth={self.depth}",
                    f"--offset={self.offset}", f"--size={HALF}", "--verify=crc32c",
                    "--verify_fatal=1", "--do_verify=1", f"--randseed={self.runs}", timeout=600)
                self.bytes += job["read"]["io_bytes"] + job["write"]["io_bytes"]
                self.runs += 1
        except BaseException as error:
            self.error = error


def change_something(groups, devices, dice):
    group, device = dice.choice(groups), dice.choice(devices)
    what = dice.randrange(4)
    if what == 0:
        group.write("blkio.bfq.weight", dice.randint(1, 1000))
        return
    name = dice.choice(("read_bps", "write_bps", "total_bps", "read_iops", "write_iops", "total_iops"))
    if name.endswith("bps"):
        rate = dice.choice((0, 4, 16, 64, 256)) * MIB
    else:
        rate = dice.choice((0, 1000, 10_000, 100_000))
    burst = f"blkio.throttle.{name}_max_device"
    group.write(burst, f"{device.number} 0")  # goes before its limit may
    group.limit(name, device, rate)
    if rate and what == 1:
        group.write(burst, f"{device.number} {rate * 4}")


def memory_of(blkio):
    with open(f"/proc/{blkio.worker()}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * KIB for line in status if line.startswith("VmRSS"))


def test(scratch):
    transport, seconds = sys.argv[1], float(sys.argv[2])
    devices = [scratch.loop(2 * HALF) for _ in range(4)]
    blkio = scratch.blkio(devices, "engines=2", f"transport={transport}")
    start = time.monotonic()
    clients, groups = [], []
    for index, device in enumerate(devices):
        for half in range(2):
            groups.append(blkio.group(f"g{index}{half}"))
            clients.append(Client(groups[-1], device, half * HALF, (4, 32)[half], start + seconds))
    dice = random.Random(1)
    with lib.no_kernel_complaints():
        for client in clients:
            client.start()
        before = changes = 0
        while time.monotonic() < start + seconds:
            change_something(groups, devices, dice)
            changes += 1
            time.sleep(0.05)
            if not before and time.monotonic() > start + seconds / 5:
                before = memory_of(blkio)
        after = memory_of(blkio)
        for group in groups:  # the rest goes at full speed
            for device in devices:
                blkio.ctl("throttle", "set", os.path.basename(group.path), device.number, "bps=0")
        for client in clients:
            client.join(120)
    for client in clients:
        lib.check(client.error is None, f"{client.group.path}: {client.error}")
        counted = client.group.bytes(client.device)
        lib.check(counted == client.bytes,
                  f"{client.group.path}: fio moved {client.bytes} bytes, {counted} were counted")
    print(f"{sum(client.runs for client in clients)} runs, "
          f"{sum(client.bytes for client in clients) // MIB} MiB, {changes} changes; "
          f"memory {before // KIB} KiB, then {after // KIB} KiB")
    if not lib.has_sanitizer(lib.binary("blkio")):  # it keeps memory that was given back
        lib.check(after - before < SLACK_BYTES, "memory does not grow")


lib.main(test)
