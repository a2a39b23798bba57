#!/bin/sh
# SPDX-License-Identifier: MIT
# Side-by-side tables: run.sh [--json FILE] [--rounds N] [--seconds N] [NAME...]; --list names them.
# Needs root and a release build (BLKIO_BIN names another directory of programs).
set -e
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../packages.sh"
if [ ! -x "${BLKIO_BIN:-$here/../../build/release/bin}/blkio" ]; then
    echo "build it first: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
install_packages fio qemu-system-common >&2
exec python3 -B "$here/bench.py" "$@"
