# SPDX-License-Identifier: MIT
# The Debian packages the project needs, in one place; sourced by tests/run.sh and the examples.

BUILD_PACKAGES="build-essential cmake ninja-build pkg-config python3 libfuse3-dev fuse3 liburing-dev
  libboost-dev libspdlog-dev libfmt-dev catch2 libcli11-dev nlohmann-json3-dev"
TEST_PACKAGES="fio qemu-utils qemu-system-common libnbd-bin nbdkit libaio-dev e2fsprogs util-linux
  mount clang-format man-db tar cgroup-tools crun runc busybox-static golang-go
  golang-github-opencontainers-runc-dev golang-github-containerd-cgroups-dev qemu-system-x86"

# install_packages NAME...: what dpkg does not know as installed, and nothing else.
install_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "these Debian packages are missing, and only root can install them:$missing" >&2
        return 1
    fi
    echo "== installing$missing"
    apt-get update -qq || true # an old list may do
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
