# SPDX-License-Identifier: MIT
"""Processes that a test moves about, and that do what it tells them."""
import ctypes
import os
import pickle
import signal
import struct
import sys
import threading

from jobs import die_with_parent

SYS_EXIT = 60  # of x86-64: ends the calling thread alone


def send(descriptor, value):
    data = pickle.dumps(value)
    os.write(descriptor, struct.pack("I", len(data)) + data)


def receive(descriptor):
    def exactly(size):
        data = b""
        while len(data) < size:
            piece = os.read(descriptor, size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    return pickle.loads(exactly(struct.unpack("I", exactly(4))[0]))


class Actor:
    """A child that calls functions for us until it is ended."""

    def __init__(self):
        inbox, self._orders = os.pipe()
        self._answers, outbox = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                die_with_parent()
                _fall_silent()
                os.close(self._orders)
                os.close(self._answers)
                _obey(inbox, outbox)
            finally:
                os._exit(0)
        os.close(inbox)
        os.close(outbox)
        self._reaped = False

    def call(self, function, *arguments):
        """Its value; or its exception, raised here."""
        self.begin(function, *arguments)
        return self.result()

    def begin(self, function, *arguments):
        """As call, but goes on meanwhile: result() is to be called for it before the next one."""
        send(self._orders, (function, arguments))

    def fileno(self):
        """Readable when there is a result."""
        return self._answers

    def result(self):
        error, value = receive(self._answers)
        if error is not None:
            raise error
        return value

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def end(self):
        if self._reaped:
            return
        self._reaped = True
        self.kill()
        os.waitpid(self.pid, 0)
        os.close(self._orders)
        os.close(self._answers)

    def become_zombie(self):
        self.kill()
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


def _fall_silent():
    """Whoever reads the output of the test is not to wait for a process of a case."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _obey(inbox, outbox):
    while True:
        try:
            function, arguments = receive(inbox)
        except EOFError:
            return
        try:
            answer = (None, function(*arguments))
        except Exception as error:
            answer = (error, None)
        send(outbox, answer)


# --- what an actor may be called with

def add_thread():
    """One more thread that sleeps; its id."""
    ids = []
    started = threading.Event()

    def body():
        ids.append(threading.get_native_id())
        started.set()
        threading.Event().wait()

    threading.Thread(target=body, daemon=True).start()
    started.wait()
    return ids[0]


def add_child():
    """A child that sleeps; its id. It dies with the actor, and that is sure before it is named."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        os.close(tell)
        signal.pause()
        os._exit(0)
    os.close(tell)
    os.read(ready, 1)  # ends with the last writer's close
    os.close(ready)
    return pid


def end_child(pid):
    """One that add_child() made; it is gone when this returns."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def end_first_thread():
    """Of a process with others: nobody obeys, or answers, any more."""
    ctypes.CDLL(None).syscall(SYS_EXIT, 0)
