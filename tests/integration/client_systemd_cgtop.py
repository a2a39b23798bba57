# SPDX-License-Identifier: MIT
"""systemd-cgtop shows a reader held at 1 MiB/s, and a writer held at 512 KiB/s, as just that.

Its rates come from blkio.io_service_bytes: what was added between two looks, divided by the time
between them. That is 2 s, in which 128 reads and 64 writes of 16 KiB are due; one more or less,
by the moment of the look, is 1.6 % of the writes.
"""
import os

import lib
import stacked
import workload
from lib import KIB, MIB


def rates(output, group):
    """(input, output) of the group in bytes per second, as of the last look."""
    lines = [line.split() for line in output.splitlines() if line.startswith(group + " ")]
    # path, tasks, CPU, memory, input/s, output/s
    return tuple(int(word) for word in lines[-1][-2:])


@stacked.alone
def test(scratch):
    lib.need("systemd-cgtop")
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    name = os.path.basename(scratch.directory)
    reader, writer = blkio.group(f"{name}/reader"), blkio.group(f"{name}/writer")
    reader.limit("read_bps", device, MIB)
    writer.limit("write_bps", device, 512 * KIB)
    jobs = [reader.start(workload.seconds, device.path, "read", 16 * KIB, 600),
            writer.start(workload.seconds, device.path, "write", 16 * KIB, 300)]
    output = lib.run("systemd-cgtop", "--batch", "--raw", "--iterations=3", "--delay=2",
                     "--depth=3", "/" + name)
    for job in jobs:
        lib.check(job.running(), "the load ended before the last look")
        job.kill()
    read_in, read_out = rates(output, f"/{name}/reader")
    write_in, write_out = rates(output, f"/{name}/writer")
    lib.check((read_out, write_in) == (0, 0), f"nothing in the other direction:\n{output}")
    lib.check_rate(read_in, MIB, 0.03, "bytes per second read, as shown")
    lib.check_rate(write_out, 512 * KIB, 0.03, "bytes per second written, as shown")


lib.main(test, tries=3)
