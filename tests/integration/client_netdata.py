# SPDX-License-Identifier: MIT
"""netdata finds a group by itself and charts its reader, held at 1 MiB/s, at 1024 KiB/s.

64 requests of 16 KiB each second; over the 4 s that are compared, one more or less is 0.4 %.
netdata interpolates to whole seconds, so the mean is what counts. It runs without a network.
"""
import csv
import fcntl
import http.client
import io
import json
import os
import socket
import struct
import subprocess
import urllib.request

import lib
import stacked
import workload
from lib import KIB, MIB

API = "http://127.0.0.1:19999/api/v1/"
SECONDS = 4
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
OTHER_PLUGINS = ("proc", "diskspace", "tc", "idlejitter", "checks", "timex", "statsd",
                 "enable running new plugins")


def loopback_only():
    """Nothing but a loopback interface: no telemetry, and the port is free."""
    stacked.leave_network()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def configuration(scratch):
    sections = {
        "global": {"run as user": "root"},
        "directories": {name: scratch.make_directory("netdata", name)
                        for name in ("config", "cache", "lib", "log")},
        "logs": {"error": scratch.path("netdata.log"), "access": "none"},
        "db": {"mode": "ram", "update every": 1},
        "ml": {"enabled": "no"},
        "health": {"enabled": "no"},
        "web": {"bind to": "127.0.0.1:19999"},
        "plugins": {"cgroups": "yes", **{name: "no" for name in OTHER_PLUGINS}},
        "plugin:cgroups": {"use unified cgroups": "no", "check for new cgroups every": 1,
                           "enable by default cgroups matching": "*charted"},
    }
    path = scratch.path("netdata", "config", "netdata.conf")
    with open(path, "w", encoding="ascii") as stream:
        for section, values in sections.items():
            stream.write(f"[{section}]\n")
            stream.writelines(f" {name} = {value}\n" for name, value in values.items())
    return path


def ask(question):
    try:
        with urllib.request.urlopen(API + question, timeout=5) as reply:
            return reply.read().decode()
    except (OSError, http.client.HTTPException):  # it is not there yet, or busy
        return ""


def rows(chart, seconds):
    """(read, write) of the chart's last full seconds, newest first; 0 without a sample."""
    table = csv.DictReader(io.StringIO(ask(f"data?chart={chart}&after=-{seconds}&format=csv")))
    numbers = [[row[name].replace("null", "0") for name in ("read", "write")] for row in table]
    return [(float(read), float(write)) for read, write in numbers]


def full_seconds(chart):
    return sum(read > 0 for read, _ in rows(chart, 20))


def charts_known():
    return set(json.loads(ask("charts") or '{"charts": {}}')["charts"])


def check_chart(chart, expected):
    found = rows(chart, SECONDS)
    lib.check(len(found) == SECONDS, f"{chart} has {found}")
    lib.check(all(write == 0 for _, write in found), f"{chart} shows writes: {found}")
    lib.check_rate(sum(read for read, _ in found) / SECONDS, expected, 0.03, f"{chart}: read")


@stacked.alone
def test(scratch):
    lib.need("netdata")
    device = scratch.loop()
    blkio = stacked.blkio(scratch, [device])
    loopback_only()
    group = blkio.group("charted")
    group.limit("read_bps", device, MIB)
    reader = group.start(workload.seconds, device.path, "read", 16 * KIB, 4000)
    with open(scratch.path("netdata-output.log"), "wb") as output:
        netdata = subprocess.Popen(
            ["netdata", "-D", "-c", configuration(scratch)], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, env={**os.environ, "DO_NOT_TRACK": "1"})
    lib.children.append(netdata)
    charts = [f"cgroup_charted.{name}" for name in
              ("io", "throttle_io", "serviced_ops", "throttle_serviced_ops")]
    lib.eventually(lambda: set(charts) <= charts_known(), 15, "netdata has the charts")
    # The second in which a chart begins is seen only in part, so there have to be more.
    lib.eventually(lambda: min(full_seconds(chart) for chart in charts) >= SECONDS + 2, 20,
                   f"there are {SECONDS} full seconds")
    lib.check(reader.running(), "the load has not ended")
    check_chart("cgroup_charted.io", MIB / KIB)  # KiB/s, of blkio.io_service_bytes
    check_chart("cgroup_charted.throttle_io", MIB / KIB)
    check_chart("cgroup_charted.serviced_ops", MIB / (16 * KIB))
    check_chart("cgroup_charted.throttle_serviced_ops", MIB / (16 * KIB))
    netdata.terminate()
    netdata.wait(15)
    reader.kill()


lib.main(test, tries=3)
