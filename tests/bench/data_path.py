# SPDX-License-Identifier: MIT
"""What the way through blkio costs, beside the other ways to a device.

A match is a load on a device, a peer, and blkio with each of its transports. A round of it runs
each of them once, one after the other, every round beginning with another; a ratio is that of two
runs of one round, and what is shown is the median of the rounds' ratios. So what the machine does
for longer than a few seconds hits both sides.
"""
import dataclasses
import re
import statistics
import subprocess
import sys
import time

import clients
import contenders
import disks
import lib
import peers
from clients import Load
from jobs import Job

READ, READ_32 = Load("randread", "4k", 1), Load("randread", "4k", 32)
WRITE, WRITE_32 = Load("randwrite", "4k", 1), Load("randwrite", "4k", 32)
LARGE = Load("randread", "128k", 16)
READ_TWO, WRITE_TWO = Load("randread", "4k", 32, 2), Load("randwrite", "4k", 32, 2)
LOADS = (READ, READ_32, WRITE, WRITE_32, LARGE, READ_TWO, WRITE_TWO)

BACKLOG = Load("randread", "4k", 1024)
BACKLOG_IOPS = 1000
BESIDE_LEAST = 0.95

LATE_IOPS = 100
LATE_MOST_US = 100
LATE_SECONDS = 5  # at least, of a round: 500 requests
CATCH_UP_NS = 4_000_000  # throttle/README.md

# What one contender fails at is no reason to lose the others.
FAILURES = (AssertionError, OSError, subprocess.SubprocessError)


@dataclasses.dataclass(frozen=True)
class Ask:
    """What blkio is to have of the peer's requests per second, with which of its transports."""

    ratio: float
    aim: float = 0
    of: tuple = (peers.Classic, peers.Uring)

    def __str__(self):
        return f"{self.ratio:g}" + (f", aim {self.aim:g}" if self.aim else "")

    def verdict(self, ratio):
        if ratio < self.ratio:
            return "misses"
        return "reached" if ratio >= self.aim else "reached, not the aim"


@dataclasses.dataclass(frozen=True)
class Match:
    kind: str  # of disk
    load: Load
    peer: type
    ours: tuple = (peers.Classic, peers.Uring)


# Controller on beside bypassed; everything else is blkio beside others.
SELF = Ask(0.95)
ASKS = {
    ("loop", READ_32, peers.Qemu): Ask(2.2, 3),
    ("loop", READ_32, peers.Nbd): Ask(8),
    ("loop", READ_32, peers.Passthrough4): Ask(2),
    ("loop", READ_32, peers.Native): Ask(0.55, 0.65),
    ("loop", READ_32, peers.Bfq8): Ask(0.85, 1),
    ("loop", READ_TWO, peers.Bfq8): Ask(1.25),
    ("loop", READ_32, peers.ClassicBypassed): SELF,
    ("loop", READ_32, peers.UringBypassed): SELF,
    ("null", LARGE, peers.NullLoop): Ask(1.4, of=(peers.Uring,)),
    ("null", LARGE, peers.FillingNullLoop): Ask(1.4, of=(peers.Uring,)),
    ("null", READ, peers.SpinningNullLoop): Ask(0.8),
}

OTHERS = {
    "loop": (peers.Native, peers.Bfq8, peers.Bfq0, peers.BlkThrottle, peers.Qemu, peers.Nbd,
             peers.Passthrough, peers.Passthrough4),
    "zram": (peers.Native, peers.BlkThrottle, peers.Qemu, peers.Nbd, peers.Passthrough,
             peers.Passthrough4),
    "null": (peers.NullLoop, peers.FillingNullLoop, peers.SpinningNullLoop),
}
BYPASSED = {peers.ClassicBypassed: (peers.Classic,), peers.UringBypassed: (peers.Uring,)}


def matches():
    for kind, others in OTHERS.items():
        for load in LOADS:
            yield from (Match(kind, load, peer) for peer in others)
            yield from (Match(kind, load, peer, ours) for peer, ours in BYPASSED.items())


class Ring:
    """Where a table's matches of one disk are played. Who cannot take part is said once."""

    def __init__(self, scratch, disk, arguments):
        self._scratch = scratch
        self._disk = disk
        self._arguments = arguments
        self._without = set()
        self.failed = []

    def rows(self, match):
        samples = self._play(match)
        theirs = samples.pop(match.peer, [])
        ask = ASKS.get((match.kind, match.load, match.peer))
        for kind, ours in samples.items():
            if ours and theirs:
                wanted = ask if ask and kind in ask.of else None
                yield row(match, self._disk, kind, ours, theirs, wanted)

    def _play(self, match):
        """The samples of each who takes part, a round for each index."""
        kinds = [kind for kind in (match.peer, *match.ours) if kind not in self._without]
        if match.peer not in kinds or len(kinds) < 2:
            return {}
        print(f"{match.kind}, {match.load}: {match.peer.name}", file=sys.stderr, flush=True)
        samples = {kind: [] for kind in kinds}
        for number in range(self._arguments.rounds):
            turn = number % len(kinds)
            for kind in kinds[turn:] + kinds[:turn]:
                if len(samples[kind]) == number:  # who failed in a round is out of the match
                    samples[kind] += self.sample(kind, lambda peer: self._run(peer, match.load))
        whole = self._arguments.rounds
        return {kind: found for kind, found in samples.items() if len(found) == whole}

    def _run(self, peer, load):
        return clients.run(peer, load, self._arguments.seconds)

    def sample(self, kind, measure):
        """[measure(peer)] with the peer at work; nothing if it was not to be had."""
        if kind in self._without:
            return []
        try:
            with kind(self._scratch, self._disk) as peer:
                return [measure(peer)]
        except lib.Skip as reason:
            self._without.add(kind)
            print(f"without {kind.name} on {self._disk.kind}: {reason}", file=sys.stderr)
        except FAILURES as error:
            self.failed.append(f"{kind.name} on {self._disk.kind}: {error}")
            print(f"failed: {self.failed[-1]}", file=sys.stderr)
        return []


def row(match, disk, kind, ours, theirs, ask):
    ratios = spread([mine["iops"] / other["iops"] for mine, other in zip(ours, theirs)])
    return {"device": match.kind, "remark": disk.remark, "load": str(match.load),
            "peer": match.peer.name, "blkio": kind.name, "theirs": summary(theirs),
            "ours": summary(ours), "ratio": ratios, "asked": str(ask) if ask else "",
            "verdict": ask.verdict(ratios["median"]) if ask else "",
            "runs": {"theirs": theirs, "ours": ours}}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(samples):
    return {key: spread([sample[key] for sample in samples])
            for key in samples[0] if samples[0][key] is not None}


class Matches:
    """A table of matches."""

    def __init__(self, title, chosen):
        self.TITLE = title
        self._chosen = list(chosen)
        self.failed = []

    def measure(self, scratch, arguments):
        lib.need("fio")
        self.failed = []
        rows = []
        for kind in disks.KINDS:
            mine = [match for match in self._chosen
                    if match.kind == kind and is_chosen(match, arguments)]
            if mine:
                rows += self._on(scratch, kind, mine, arguments)
        return rows

    def _on(self, scratch, kind, mine, arguments):
        try:
            with disks.disk(scratch, kind) as disk:
                ring = Ring(scratch, disk, arguments)
                rows = [row for match in mine for row in ring.rows(match)]
                self.failed += ring.failed
                return rows
        except lib.Skip as reason:
            print(f"without {kind}: {reason}", file=sys.stderr)
            return []

    @staticmethod
    def print_table(title, rows):
        contenders.print_rows(title, COLUMNS, [columns(row) for row in rows])

    @staticmethod
    def panels(rows):
        """For the chart: a panel for each load of each device."""
        runs = {}
        for row in rows:
            bars = runs.setdefault(f"{row['device']}: {row['load']}", {})
            for side, name in (("theirs", row["peer"]), ("ours", row["blkio"])):
                bars.setdefault(name, []).extend(run["iops"] for run in row["runs"][side])
        return [{"title": title, "unit": "IOPS",
                 "bars": [{"label": label, **spread(values)} for label, values in bars.items()]}
                for title, bars in runs.items()]


def is_chosen(match, arguments):
    text = f"{match.kind}: {match.load}: {match.peer.name}"
    return re.search(arguments.only, text) is not None


COLUMNS = ("device", "load", "peer", "peer, kIOPS", "blkio", "blkio, kIOPS", "ratio", "asked", "",
           "p50, us, peer and blkio", "p99, us", "CPU, us/request")


def columns(row):
    theirs, ours = row["theirs"], row["ours"]
    return [row["device"], row["load"], row["peer"], thousands(theirs["iops"]),
            row["blkio"].removeprefix("blkio, "), thousands(ours["iops"]),
            ranged(row["ratio"], "{:.2f}"), row["asked"], row["verdict"],
            *(f"{middle(theirs, key, digits)}, {middle(ours, key, digits)}"
              for key, digits in (("p50_us", 0), ("p99_us", 0), ("cpu_us", 1)))]


def thousands(iops):
    return ranged({key: value / 1000 for key, value in iops.items()}, "{:.1f}")


def ranged(values, form):
    return " ".join((form.format(values["median"]),
                     f"({form.format(values['min'])} … {form.format(values['max'])})"))


def middle(values, key, digits):
    return f"{values[key]['median']:.{digits}f}" if key in values else "–"


class Beside:
    """A group that nothing limits, beside one that is held with a deep backlog, and alone."""

    TITLE = (f"{READ_32} without a limit on loop, beside a neighbour held to {BACKLOG_IOPS} "
             f"requests a second with {BACKLOG.depth} outstanding, and alone")

    def __init__(self):
        self.failed = []

    def measure(self, scratch, arguments):
        lib.need("fio")
        with disks.disk(scratch, "loop") as disk:
            ring = Ring(scratch, disk, arguments)
            kinds = (peers.Classic, peers.Uring, peers.BlkThrottle)
            found = {kind: [] for kind in kinds}
            for number in range(arguments.rounds):
                for kind in kinds:
                    found[kind] += ring.sample(
                        kind, lambda peer: both(peer, number, arguments.seconds))
            self.failed = ring.failed
        return [self._row(kind, pairs) for kind, pairs in found.items() if pairs]

    @staticmethod
    def _row(kind, found):
        ratio = spread([pair["beside"]["iops"] / pair["alone"]["iops"] for pair in found])
        ask = Ask(BESIDE_LEAST) if issubclass(kind, peers.Blkio) else None
        return {"contender": kind.name, "ratio": ratio,
                **{side: summary([pair[side] for pair in found]) for side in ("alone", "beside")},
                "neighbour_iops": spread([pair["neighbour_iops"] for pair in found]),
                "asked": str(ask) if ask else "",
                "verdict": ask.verdict(ratio["median"]) if ask else "", "runs": found}

    @staticmethod
    def print_table(title, rows):
        names = ("contender", "alone, kIOPS", "beside, kIOPS", "ratio", "asked", "",
                 "p99 alone, us", "p99 beside, us", "neighbour, IOPS")
        contenders.print_rows(title, names, [
            [row["contender"], thousands(row["alone"]["iops"]), thousands(row["beside"]["iops"]),
             ranged(row["ratio"], "{:.3f}"), row["asked"], row["verdict"],
             middle(row["alone"], "p99_us", 0), middle(row["beside"], "p99_us", 0),
             f"{row['neighbour_iops']['median']:.0f}"] for row in rows])

    @staticmethod
    def panels(rows):
        return [{"title": "loop: " + str(READ_32) + " beside a held neighbour", "unit": "IOPS",
                 "bars": [{"label": f"{row['contender']}, {side}", **row[side]["iops"]}
                          for row in rows for side in ("alone", "beside")]}] if rows else []


def both(peer, number, seconds):
    """Alone and beside, in turns the one or the other first."""
    if number % 2 == 0:
        alone = clients.run(peer, READ_32, seconds)
        return {"alone": alone, **beside(peer, seconds)}
    found = beside(peer, seconds)
    time.sleep(0.5)  # what the neighbour has left behind is answered
    return {**found, "alone": clients.run(peer, READ_32, seconds)}


def beside(peer, seconds):
    with clients.Neighbour(peer, BACKLOG, BACKLOG_IOPS) as neighbour:
        found = clients.run(peer, READ_32, seconds)
        return {"beside": found, "neighbour_iops": neighbour.iops()}


class Lateness:
    """How late a request comes back whose time has come."""

    TITLE = (f"Lateness of requests under a limit of {LATE_IOPS} a second, all else idle, on null: "
             "from the planned time until the client has the answer")

    def __init__(self):
        self.failed = []

    def measure(self, scratch, arguments):
        seconds = max(LATE_SECONDS, arguments.seconds)
        interval = 10**9 // LATE_IOPS
        found = {(kind, awake): [] for kind in (peers.Classic, peers.Uring)
                 for awake in (True, False)}
        slept = []
        with disks.disk(scratch, "null") as disk:
            ring = Ring(scratch, disk, arguments)
            for _ in range(arguments.rounds):
                for (kind, awake), rounds in found.items():
                    rounds += ring.sample(
                        kind, lambda peer, awake=awake: paced(peer, interval, seconds, awake))
                job = Job(clients.own_lateness, interval, seconds)
                slept.append(job.result(seconds + clients.MORE_SECONDS))
            self.failed = ring.failed
        rows = [late_row(f"{kind.name}, the client {'awake' if awake else 'asleep'}", rounds, awake)
                for (kind, awake), rounds in found.items() if rounds]
        return rows + [late_row("a client that sleeps until the time", slept, False)]

    @staticmethod
    def print_table(title, rows):
        names = ("contender", "p50, us", "p99, us", "p99 of rounds, us", "most, us", "asked", "")
        contenders.print_rows(title, names, [
            [row["contender"], f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}",
             ranged(row["p99_rounds"], "{:.0f}"), f"{row['most_us']:.0f}", row["asked"],
             row["verdict"]] for row in rows])

    @staticmethod
    def panels(rows):
        return [{"title": "null: p99 of lateness", "unit": "us",
                 "bars": [{"label": row["contender"], **row["p99_rounds"]} for row in rows]}]


def paced(peer, interval, seconds, awake):
    group = peer.groups[0]
    group.limit("read_iops", peer.disk.device, LATE_IOPS)
    return group.call(clients.lateness, peer.path, interval, CATCH_UP_NS, seconds, awake,
                      timeout=seconds + clients.MORE_SECONDS)


def late_row(name, rounds, is_asked):
    late = [value for values in rounds for value in values]
    p99 = percentile(late, 99)
    return {"contender": name, "p50_us": percentile(late, 50), "p99_us": p99,
            "most_us": max(late) / 1000,
            "p99_rounds": spread([percentile(values, 99) for values in rounds]),
            "asked": f"at most {LATE_MOST_US}" if is_asked else "",
            "verdict": ("reached" if p99 <= LATE_MOST_US else "misses") if is_asked else "",
            "runs": rounds}


def percentile(values_ns, percent):
    """In us."""
    ordered = sorted(values_ns)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / 1000


def on(kind):
    return (match for match in matches() if match.kind == kind)


TABLES = {
    "data_path_loop": Matches("Data path, loop device on tmpfs", on("loop")),
    "data_path_zram": Matches("Data path, zram", on("zram")),
    "data_path_null": Matches("Data path, null device: what the transport costs", on("null")),
    "data_path_neighbour": Beside(),
    "data_path_lateness": Lateness(),
}
ASKED = Matches("Data path, what is asked of it",
                (match for match in matches()
                 if (match.kind, match.load, match.peer) in ASKS))
