// SPDX-License-Identifier: MIT
/// MAJ:MIN, as the kernel and our users write it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "blkio/types.hpp"

namespace blkio {

std::string to_text(DeviceNumber number);
/// nullopt if the text is anything but two decimal numbers of 32 bits with a colon between.
std::optional<DeviceNumber> parse_device_number(std::string_view text);

}  // namespace blkio
