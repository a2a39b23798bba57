# SPDX-License-Identifier: MIT
"""QEMU refuses a second writer on one image by its byte-range locks; over a proxied file too, though
each open of it has an inode of its own.
"""
import os
import subprocess

import lib


def test(scratch):
    lib.need("qemu-nbd", "qemu-io")
    device = scratch.loop()
    scratch.blkio([device])
    socket = scratch.path("nbd.sock")
    write = ["qemu-io", "-f", "raw", "-c", "write 0 4k", device.path]
    server = subprocess.Popen(["qemu-nbd", "--persistent", "--format=raw", "--socket", socket,
                               device.path])
    try:
        lib.eventually(lambda: os.path.exists(socket) or server.poll() is not None, 10, "nbd socket")
        second = subprocess.run(write, capture_output=True, text=True, timeout=20)
        lib.check(second.returncode != 0, "a second writer was let in")
        lib.check("lock" in second.stderr + second.stdout, f"refused by the lock: {second.stderr}")
    finally:
        server.kill()
        server.wait()
    lib.run(*write)  # the locks of a dead process are gone


lib.main(test)
