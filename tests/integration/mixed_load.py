# SPDX-License-Identifier: MIT
"""Clients of two groups, one held and one at full speed, for tests that pull the device away."""
import lib
import workload


class Load:
    def __init__(self, readers, clients):
        self.readers = readers
        self.clients = clients

    def ends_with_errors(self, seconds):
        """Every client is told; none hangs, and none is told that all went well."""
        for reader in self.readers:
            print(f"the reader got errno {reader.result(seconds)}")
        for client in self.clients:
            client.communicate(timeout=seconds)
            lib.check(client.returncode != 0, "fio was told")


def start(blkio, device):
    held, busy = blkio.group("held"), blkio.group("busy")
    held.limit("read_iops", device, 1)
    common = ["--bs=4k", "--ioengine=libaio", "--time_based", "--runtime=60", "--size=32m"]
    load = Load([held.start(workload.read_until_error, device.path) for _ in range(2)],
                [held.fio_process(device, "--rw=randread", "--iodepth=64", *common),
                 busy.fio_process(device, "--rw=randrw", "--iodepth=16", *common)])
    lib.eventually(lambda: held.ios(device, "Read") >= 64, 10, "requests are held")
    lib.eventually(lambda: busy.ios(device) >= 100, 10, "requests are on their way")
    return load
