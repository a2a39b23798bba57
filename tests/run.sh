#!/bin/bash
# SPDX-License-Identifier: MIT
# All tests but the long ones, from a fresh machine on: installs what is missing, builds, runs every
# ctest label but soak, and ends with one line `N passed, N failed, N skipped`.
#
#   BLKIO_SANITIZERS=0   leaves out the runs under ASan+UBSan and TSan
#   BLKIO_JOBS=N         parallel jobs (default: the number of CPUs)
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/packages.sh
jobs=${BLKIO_JOBS:-$(nproc)}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
status=0

step() { printf '\n== %s (%s)\n' "$*" "$(date +%H:%M:%S)"; }

# build PRESET [TARGET...]
build() {
    local preset=$1
    shift
    cmake --preset "$preset" >"$results/configure.log" 2>&1 || {
        cat "$results/configure.log"
        return 1
    }
    cmake --build --preset "$preset" --parallel "$jobs" ${1:+--target "$@"} >"$results/build.log" 2>&1 || {
        tail -n 100 "$results/build.log"
        return 1
    }
}

# run_labels NAME PRESET LABELS: a ctest run whose results count
run_labels() {
    step "$1"
    ctest --preset "$2" -L "$3" --timeout 300 --parallel "$jobs" --output-junit "$results/$1.xml" || status=1
    grep -q '<testcase' "$results/$1.xml" 2>/dev/null || touch "$results/run-$1.broken"
}

step "packages"
# shellcheck disable=SC2086
install_packages $BUILD_PACKAGES $TEST_PACKAGES || exit 1
tests/integration/guest/fetch_kernel.sh build/guest-kernel || echo "no kernel for virtual machines"

step "build (release)"
build release || exit 1
run_labels "release" release '^(unit|golden|simulation|tree|fuzz)$'
run_labels "integration" release '^integration$'

# The sanitizers see what handles requests and untrusted bytes, TSan what has threads; only that is
# built for them, the whole presets take too long for every run.
sanitize() { # PRESET TARGET...
    step "build ($1)"
    if build "$@"; then
        run_labels "$1" "$1" '^(unit|golden|simulation)$'
    else
        echo "the build for $1 failed"
        touch "$results/build-$1.broken"
    fi
}
if [ "${BLKIO_SANITIZERS:-1}" = 1 ]; then
    sanitize asan unit_stats unit_throttle unit_bfq_weights unit_data_plane unit_cgroupfs \
        golden_files simulation
    sanitize tsan unit_stats unit_data_plane
fi

step "result"
python3 -B tests/count_results.py "$results" || status=1
exit $status
