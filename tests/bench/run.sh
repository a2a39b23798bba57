#!/bin/sh
# SPDX-License-Identifier: MIT
# Side-by-side tables: run.sh [--json FILE] [--svg FILE] [--rounds N] [--seconds N] [--only REGEX]
# [NAME...]; --list names them.
# Needs root and a release build (BLKIO_BIN names another directory of programs).
set -e
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../packages.sh"
if [ ! -x "${BLKIO_BIN:-$here/../../build/release/bin}/blkio" ]; then
    echo "build it first: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
install_packages fio >&2
# Without these the tables do without a contender, and say so.
install_packages qemu-system-common nbdkit libnbd-bin >&2 || true
exec python3 -B "$here/bench.py" "$@"
