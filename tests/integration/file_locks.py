# SPDX-License-Identifier: MIT
"""Locks hold between processes although each open has an inode of its own: POSIX, OFD and flock."""
import fcntl
import os
import struct
import time

import lib

OFD_SETLK = 37


def ofd_lock(descriptor, kind, start, length):
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    fcntl.fcntl(descriptor, OFD_SETLK, request)


def try_posix(path, kind, start=0, length=100):
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, kind | fcntl.LOCK_NB, length, start)


def try_flock(path, kind):
    fcntl.flock(os.open(path, os.O_RDWR), kind | fcntl.LOCK_NB)


def try_ofd(path, kind):
    ofd_lock(os.open(path, os.O_RDWR), kind, 0, 100)


def refused(function, *arguments):
    lib.check_errno("EAGAIN|EACCES", lib.Job(function, *arguments).result)


def granted(function, *arguments):
    lib.Job(function, *arguments).result()


def posix(path):
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 100, 0)
    refused(try_posix, path, fcntl.LOCK_EX)
    refused(try_posix, path, fcntl.LOCK_SH, 50, 10)
    granted(try_posix, path, fcntl.LOCK_EX, 100, 10)
    fcntl.lockf(descriptor, fcntl.LOCK_SH, 100, 0)
    granted(try_posix, path, fcntl.LOCK_SH)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 100, 0)
    # POSIX: closing any descriptor of the file drops all of the process's locks on it.
    os.close(os.open(path, os.O_RDONLY))
    granted(try_posix, path, fcntl.LOCK_EX)
    os.close(descriptor)


def whole_file(path):
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    refused(try_flock, path, fcntl.LOCK_SH)
    os.close(os.open(path, os.O_RDONLY))
    refused(try_flock, path, fcntl.LOCK_SH)
    os.close(descriptor)
    granted(try_flock, path, fcntl.LOCK_EX)


def open_file_description(path):
    descriptor = os.open(path, os.O_RDWR)
    ofd_lock(descriptor, fcntl.F_WRLCK, 0, 100)
    lib.check_errno("EAGAIN|EACCES", try_ofd, path, fcntl.F_RDLCK)  # within one process too
    refused(try_posix, path, fcntl.LOCK_EX)
    os.close(descriptor)
    granted(try_ofd, path, fcntl.F_WRLCK)


def blocking(path):
    """A waiting locker gets it when it is free, and one that is killed while waiting is gone at once."""
    descriptor = os.open(path, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 100, 0)

    def wait():
        fcntl.lockf(os.open(path, os.O_RDWR), fcntl.LOCK_EX, 100, 0)
        return time.monotonic()

    patient, doomed = lib.Job(wait), lib.Job(wait)
    time.sleep(0.2)
    lib.check(patient.running() and doomed.running(), "both wait")
    start = time.monotonic()
    doomed.kill()
    doomed.wait()
    lib.check(time.monotonic() - start < 0.5, "a killed waiter is gone at once")
    start = time.monotonic()
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 100, 0)
    lib.check(patient.result(5) - start < 0.5, "the other one gets the lock")
    os.close(descriptor)


def test(scratch):
    device = scratch.loop()
    scratch.blkio([device])
    for case in (posix, whole_file, open_file_description, blocking):
        lib.Job(case, device.path).result(20)
        print(f"{case.__name__}: as it should be", flush=True)


lib.main(test)
