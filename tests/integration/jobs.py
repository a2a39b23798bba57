# SPDX-License-Identifier: MIT
"""Functions run in forked children."""
import ctypes
import os
import pickle
import select
import signal
import sys
import time

_libc = ctypes.CDLL(None, use_errno=True)
children = []  # Jobs and Popens: the end of the test ends them


def die_with_parent(number=signal.SIGKILL):
    _libc.prctl(1, int(number), 0, 0, 0)  # PR_SET_PDEATHSIG


class Job:
    """A forked child that runs one function; its value or exception comes back through a pipe."""

    def __init__(self, function, *arguments, prepare=None):
        reader, writer = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            self._child(writer, function, arguments, prepare)
        os.close(writer)
        self._reader = reader
        self._status = None
        children.append(self)

    @staticmethod
    def _child(writer, function, arguments, prepare):
        code = 1
        try:
            die_with_parent()
            if prepare:
                prepare()
            reply = (None, function(*arguments))
            code = 0
        except BaseException as error:
            error.__traceback__ = None
            reply = (error, None)
        try:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(pickle.dumps(reply))
        finally:
            os._exit(code)

    def result(self, timeout=60):
        data = b""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._reader], [], [], left)[0]:
                raise AssertionError(f"the child has not finished within {timeout} s")
            piece = os.read(self._reader, 1 << 16)
            if not piece:
                break
            data += piece
        self.wait()
        if not data:
            raise AssertionError(f"the child died of wait status {self._status}")
        error, value = pickle.loads(data)
        if error:
            raise error
        return value

    def running(self):
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is None

    def kill(self, number=signal.SIGKILL):
        if self.running():
            os.kill(self.pid, number)

    def wait(self):
        if self._status is None:
            self._status = os.waitpid(self.pid, 0)[1]
        return self._status


def die_on_sigterm_of_parent():
    die_with_parent(signal.SIGTERM)
