// SPDX-License-Identifier: MIT
#include "cgroupfs/device_text.hpp"

#include <fmt/format.h>

#include <charconv>

namespace blkio {
namespace {

bool parse(std::string_view text, std::uint32_t& number) {
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

}  // namespace

std::string to_text(DeviceNumber number) {
  return fmt::format("{}:{}", number.major, number.minor);
}

std::optional<DeviceNumber> parse_device_number(std::string_view text) {
  const std::size_t colon = text.find(':');
  DeviceNumber number;
  if (colon == std::string_view::npos || !parse(text.substr(0, colon), number.major) ||
      !parse(text.substr(colon + 1), number.minor)) {
    return std::nullopt;
  }
  return number;
}

}  // namespace blkio
