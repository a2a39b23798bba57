#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program sees of a blkio hierarchy, case by case; needs root.
#
#   tests/conformance/run.sh kernel|blkio [CASE...]
#
#   kernel   the controller of the running kernel, at /sys/fs/cgroup/blkio
#   blkio    a daemon of its own with dialect=kernel,hierarchy=flat; BLKIO_BIN is the directory of
#            the program (default: build/release/bin)
#   CASE     THEME, or THEME/WORDS-OF-THE-TITLE; * and ? as in the shell
#
# Exit status: 0 all passed, 1 some failed, 77 cannot run here.
set -u
target=${1:-}
case $target in
kernel | blkio) shift ;;
*)
    sed -n '3,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
export BLKIO_TEST_TARGET=$target
exec python3 -B "$(dirname "$0")/run.py" "$@"
