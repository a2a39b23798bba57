// SPDX-License-Identifier: MIT
/// The holder: owns mounts, descriptors and shared memory, runs no I/O logic, outlives the worker.
#pragma once

#include <functional>
#include <vector>

#include "data_plane/backing_device.hpp"
#include "options.hpp"

namespace blkio::daemon {

/// Opens what the options name; checks that nothing is used twice and that no option speaks of a
/// device that is not there. Errors name the option. Nothing is mounted yet.
Result<std::vector<data_plane::BackingDevice>> open_devices(const Options& options);

/// Mounts, runs a worker, takes everything away again. `report` is called exactly once: with
/// success when the mount answers, else with the reason. Returns the exit code.
int run_holder(const Options& options, std::vector<data_plane::BackingDevice> devices,
               const std::function<void(const Result<void>&)>& report);

}  // namespace blkio::daemon
