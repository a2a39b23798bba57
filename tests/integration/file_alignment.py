# SPDX-License-Identifier: MIT
"""O_DIRECT off the logical block is EINVAL, as from a device; without it any alignment is correct."""
import os
import random

import lib
import workload
from lib import KIB, MIB

SIZE = 4 * MIB


def misaligned_direct(path):
    descriptor = workload.open_file(path)
    memory = workload.buffer(4 * KIB)
    view = memoryview(memory)
    for offset, length in ((1, 512), (256, 512), (0, 100), (0, 513)):
        lib.check_errno("EINVAL", os.preadv, descriptor, [view[:length]], offset)
        lib.check_errno("EINVAL", os.pwritev, descriptor, [view[:length]], offset)
    lib.check(os.preadv(descriptor, [view[:512]], 512) == 512, "one logical block is fine")
    os.close(descriptor)


def unaligned_buffered(path):
    """Random pieces against a copy of the content kept in memory."""
    numbers = random.Random(3)
    copy = bytearray(SIZE)
    descriptor = os.open(path, os.O_RDWR)
    os.pwrite(descriptor, bytes(SIZE), 0)
    for _ in range(400):
        offset = numbers.randrange(SIZE)
        length = min(numbers.choice((1, 3, 511, 513, 4095, 5000, 70000)), SIZE - offset)
        if numbers.random() < 0.5:
            piece = numbers.randbytes(length)
            lib.check(os.pwrite(descriptor, piece, offset) == length, "written whole")
            copy[offset:offset + length] = piece
        else:
            piece = os.pread(descriptor, length, offset)
            lib.check(piece == copy[offset:offset + length], f"content at {offset}+{length}")
    os.close(descriptor)
    with open(path, "rb") as stream:
        lib.check(stream.read(SIZE) == copy, "the whole content")


def neighbours(path):
    """Writers of halves of one sector at once: neither undoes the other's."""

    def half(offset, byte):
        descriptor = os.open(path, os.O_RDWR)
        for sector in range(300):
            os.pwrite(descriptor, byte * 256, SIZE + sector * 512 + offset)

    jobs = [lib.Job(half, 0, b"l"), lib.Job(half, 256, b"r")]
    for job in jobs:
        job.result()
    with open(path, "rb") as stream:
        stream.seek(SIZE)
        lib.check(stream.read(300 * 512) == (b"l" * 256 + b"r" * 256) * 300, "both halves are there")


def test(scratch):
    for device in (scratch.loop(8 * MIB), scratch.image(8 * MIB)):
        blkio = scratch.blkio([device], name=f"blkio-{os.path.basename(device.source)}")
        misaligned_direct(device.path)
        unaligned_buffered(device.path)
        neighbours(device.path)
        lib.check(not blkio.stop(), "clean stop")


lib.main(test)
