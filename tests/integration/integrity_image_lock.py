# SPDX-License-Identifier: MIT
"""A virtual machine's disk is locked against a second writer by byte-range locks of its open file; over
a proxied file too, though each open of it has an inode of its own.

qemu-io stands in for the machine: blkdebug makes it refuse to share writing, as a guest's disk does.
"""
import subprocess

import lib


def machine(path):
    image = f"driver=blkdebug,image.driver=file,image.filename={path},unshare-child-perms.0=write"
    process = subprocess.Popen(["qemu-io", "--image-opts", image], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    lib.children.append(process)
    process.stdin.write("write 0 4k\n")
    process.stdin.flush()
    while "wrote" not in process.stdout.readline():
        lib.check(process.poll() is None, "the first writer runs")
    return process


def second_writer(path):
    return subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 4k", path], capture_output=True,
                          text=True, timeout=20)


def test(scratch):
    lib.need("qemu-io")
    device = scratch.loop()
    scratch.blkio([device])
    first = machine(device.path)
    refused = second_writer(device.path)
    lib.check(refused.returncode != 0, "a second writer was let in")
    lib.check('Failed to get "write" lock' in refused.stderr, f"by the lock: {refused.stderr}")
    first.kill()
    first.wait()
    granted = second_writer(device.path)
    lib.check(granted.returncode == 0, f"the locks of the dead are gone: {granted.stderr}")


lib.main(test)
