# SPDX-License-Identifier: MIT
"""What limits many engines on many processors: a simulation, of figures measured on few.

A closed world: each device has so many requests in flight. A request costs a client's processor
CLIENT_US, any that is free, then waits at its device's engine. That takes all that have come, asks
the task table about them, under a lock that all engines share, and serves them one by one. Device
and kernel threads are ideal: what is left is what blkio itself shares.
"""
import heapq
import random
from collections import deque

import contenders

TITLE = "Many engines, simulated"
CLIENT_US = 4.0       # a client's part of a request of 4 KiB: fio over FUSE, QD 32
ENGINE_US = 5.2       # the engine's, nearly all of it in the kernel
TURN_US = 1.0         # a pass of an engine's loop, however many requests it has
LOCK_US = 0.05        # to take and give back the table's lock
FIND_US = 0.025       # to find a task in the table
DEPTH = 32
REQUESTS = 200_000
CASES = tuple((64, engines, 100) for engines in (1, 4, 8, 16, 24, 32, 40, 48)) + ((64, 16, 1),)
COUNTED = ("processors", "engines", "devices")
COLUMNS = (*COUNTED, "requests a second", "engines busy, %",
           "clients busy, %", "lock taken, %", "wait for the lock, us a batch", "batch")


class World:
    """One case, run until REQUESTS have been served."""

    def __init__(self, processors, engines, devices):
        self.random = random.Random(1)
        self.free_clients = self.clients = processors - engines
        self.engines = engines
        self.ready = deque()                          # requests that wait for a client's processor
        self.arrived = [0] * engines
        self.idle = [True] * engines
        self.events, self.number = [], 0
        self.lock_free = self.lock_busy = self.lock_wait = 0.0
        self.batches = self.served = 0
        self.engine_busy = self.client_busy = 0.0
        self.now = 0.0
        for device in range(devices):
            self.ready.extend([device % engines] * DEPTH)

    def at(self, when, what, argument):
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what, argument))

    def run(self):
        self.start_clients()
        while self.served < REQUESTS:
            self.now, _, what, argument = heapq.heappop(self.events)
            what(argument)
        return self

    def start_clients(self):
        while self.free_clients and self.ready:
            self.free_clients -= 1
            took = CLIENT_US * self.random.uniform(0.5, 1.5)
            self.client_busy += took
            self.at(self.now + took, self.sent, self.ready.popleft())

    def sent(self, engine):
        self.free_clients += 1
        self.arrived[engine] += 1
        if self.idle[engine]:
            self.turn(engine)
        self.start_clients()

    def turn(self, engine):
        batch, self.arrived[engine] = self.arrived[engine], 0
        self.idle[engine] = batch == 0
        if batch == 0:
            return
        held = LOCK_US + batch * FIND_US
        begin = max(self.now, self.lock_free)
        self.lock_free = begin + held
        self.lock_busy += held
        self.lock_wait += begin - self.now
        self.batches += 1
        when = self.lock_free + TURN_US
        for _ in range(batch):
            when += ENGINE_US * self.random.uniform(0.5, 1.5)
            self.at(when, self.ended, engine)
        self.engine_busy += when - begin
        self.at(when, self.turn, engine)

    def ended(self, engine):
        self.served += 1
        self.ready.append(engine)
        self.start_clients()


def measure(_, __):
    rows = []
    for processors, engines, devices in CASES:
        world = World(processors, engines, devices).run()
        rows.append({"processors": processors, "engines": engines, "devices": devices,
                     "per_second": world.served / world.now * 1e6,
                     "engine_busy": world.engine_busy / world.now / engines,
                     "client_busy": world.client_busy / world.now / world.clients,
                     "lock_busy": world.lock_busy / world.now,
                     "lock_wait_us": world.lock_wait / world.batches,
                     "batch": world.served / world.batches})
    return rows


def print_table(title, found):
    contenders.print_rows(title, COLUMNS, [
        [*(str(row[key]) for key in COUNTED), f"{row['per_second'] / 1e6:.2f} M",
         f"{100 * row['engine_busy']:.0f}", f"{100 * row['client_busy']:.0f}",
         f"{100 * row['lock_busy']:.1f}", f"{row['lock_wait_us']:.2f}", f"{row['batch']:.1f}"]
        for row in found])
