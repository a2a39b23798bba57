# SPDX-License-Identifier: MIT
"""What a test says about what it saw."""
import errno
import os
import shutil
import subprocess
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Late(AssertionError):
    """Slower than it should be: a fault, unless the machine was busy. See main's `tries`."""


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_duration(measured, expected, tolerance, what):
    """Seconds; too short is wrong, too long may be the machine's fault. `tolerance` is relative."""
    _judge(measured, expected, tolerance, what + " in seconds", slow=measured > expected)


def check_rate(measured, expected, tolerance, what):
    """Too much is wrong, too little may be the machine's fault."""
    _judge(measured, expected, tolerance, what, slow=measured < expected)


def _judge(measured, expected, tolerance, what, slow):
    """Always prints the exact figure."""
    tolerance = float(os.environ.get("BLKIO_TEST_TOLERANCE", tolerance))
    deviation = measured / expected - 1
    print(f"{what}: {measured:.4f}, expected {expected:.4f} ({deviation:+.2%})", flush=True)
    if abs(deviation) > tolerance:
        message = f"{what} is off by {deviation:+.2%}, allowed {tolerance:.0%}"
        raise Late(message) if slow else AssertionError(message)


def check_in_time(condition, message):
    """As check, of something a busy machine may be late with."""
    if not condition:
        raise Late(message)


def patiently(function, *arguments, tries=4):
    """Calls it, and again while it is only late."""
    for left in range(tries - 1, -1, -1):
        try:
            return function(*arguments)
        except Late as complaint:
            print(f"late, at a load average of {os.getloadavg()[0]:.1f}: {complaint}", flush=True)
            if not left:
                raise


def check_errno(expected, function, *arguments):
    """function(*arguments) fails with one of the errno names in `expected` ("EROFS|EACCES")."""
    try:
        function(*arguments)
    except OSError as error:
        numbers = [getattr(errno, name) for name in expected.split("|")]
        check(error.errno in numbers, f"expected {expected}, got {error}")
        return
    raise AssertionError(f"expected {expected}, but the call succeeded")


def eventually(condition, seconds, what):
    """Polls; returns the seconds it took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.005)
    return time.monotonic() - start


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def binary(name):
    directory = os.environ.get("BLKIO_BIN") or os.path.join(SOURCE, "build/release/bin")
    path = os.path.join(directory, name)
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} has not been built")
    return path


def has_sanitizer(path):
    """Whether the program was built with one, which keeps memory longer and reports on its own."""
    with open(path, "rb") as stream:
        data = stream.read()
    return any(name in data for name in (b"__asan_init", b"__tsan_init", b"__ubsan_handle"))


def sanitizer_reports(log):
    """The lines of a log with which a sanitizer begins what it has to say."""
    return [line for line in log.splitlines() if "Sanitizer: " in line or "runtime error: " in line]


def run(*command, **options):
    """A program that must succeed; returns what it prints."""
    options = {"timeout": 60, "check": True, "text": True, **options}
    return subprocess.run(command, stdout=subprocess.PIPE, **options).stdout
