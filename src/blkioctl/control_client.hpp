// SPDX-License-Identifier: MIT
/// blkioctl's end of the control socket.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "blkio/result.hpp"

namespace blkio::blkioctl {

/// Sends one request and waits for its answer. An answer {"ok": false} is an error with the
/// daemon's words and number 0; EBADMSG: what came back is no answer.
Result<nlohmann::json> ask_daemon(const std::string& socket_path, const nlohmann::json& request);

}  // namespace blkio::blkioctl
