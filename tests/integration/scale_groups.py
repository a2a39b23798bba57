# SPDX-License-Identifier: MIT
"""2000 groups with rules: no call gets dearer, the root's sums are quick, I/O delays nobody.

A call may cost twice what it did among ten groups; measured is 1.0 to 1.1. The root's sum over 2000
groups takes 1 to 2 ms, and a read beside saturated I/O less than 5 ms in 99 of 100 cases.
"""
import os
import statistics
import time

import lib

FEW = 10
MANY = 2000
STATISTICS = "blkio.throttle.io_service_bytes"
RULE = "blkio.throttle.read_bps_device"


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def add_groups(blkio, device, first, last):
    for number in range(first, last):
        blkio.group(f"g{number}").limit("read_bps", device, 10**9)


def read(descriptor):
    os.pread(descriptor, 4096, 0)


def medians(blkio, device):
    """Of the single calls, on files that are open."""
    group = blkio.group("probe")
    found = {"mkdir": [], "read": [], "write": []}
    with open(os.path.join(group.path, STATISTICS), "rb") as counts, \
            open(os.path.join(group.path, RULE), "wb") as rule:
        for number in range(200):
            found["mkdir"].append(seconds(os.mkdir, blkio.path + "/new"))
            os.rmdir(blkio.path + "/new")
            found["read"].append(seconds(read, counts.fileno()))
            text = f"{device.number} {10**9 + number}".encode()
            found["write"].append(seconds(os.write, rule.fileno(), text))
    return {what: statistics.median(values) for what, values in found.items()}


def check_growth(few, many):
    for what, base in few.items():
        print(f"{what}: {base * 1e6:.0f} us among {FEW} groups, {many[what] * 1e6:.0f} us among {MANY}")
        lib.check_in_time(many[what] <= 2 * base, f"{what} costs more the more groups there are")


def check_sums(blkio):
    with open(os.path.join(blkio.path, STATISTICS + "_recursive"), "rb") as sums:
        took = statistics.median(seconds(read, sums.fileno()) for _ in range(20))
    print(f"the root's sum over {MANY} groups: {took * 1e3:.2f} ms")
    lib.check_in_time(took < 0.05, "the root's sum takes 50 ms or more")


def check_beside_io(blkio, device):
    clients = [blkio.group(f"g{number}").fio_process(
        device, "--ioengine=libaio", "--rw=randread", "--bs=4k", "--iodepth=128", "--size=256m",
        "--time_based", "--runtime=4") for number in range(2)]
    lib.eventually(lambda: blkio.group("g1").ios(device) > 1000, 10, "I/O goes on")
    took = []
    with open(os.path.join(blkio.path, "g5", STATISTICS), "rb") as counts:
        while all(client.poll() is None for client in clients) and len(took) < 1500:
            took.append(seconds(read, counts.fileno()))
            time.sleep(0.001)
    for client in clients:
        client.kill()
        client.communicate()
    lib.check(len(took) > 200, f"only {len(took)} reads while I/O went on")
    late = sorted(took)[int(len(took) * 0.99)]
    print(f"p99 of {len(took)} reads beside saturated I/O: {late * 1e3:.2f} ms")
    lib.check_in_time(late < 0.05, "a read takes 50 ms or more beside I/O")


def test(scratch):
    device = scratch.null()
    blkio = scratch.blkio([device])
    add_groups(blkio, device, 0, FEW)
    few = medians(blkio, device)
    add_groups(blkio, device, FEW, MANY)
    check_growth(few, medians(blkio, device))
    check_sums(blkio)
    check_beside_io(blkio, device)


lib.main(test, tries=3)
