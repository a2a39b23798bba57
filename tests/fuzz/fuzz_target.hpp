// SPDX-License-Identifier: MIT
/// What every fuzz target stands on.
///
/// A target defines LLVMFuzzerTestOneInput, which libFuzzer calls with inputs of its own and
/// replay_main.cpp with those of the corpus. It ends the process when an invariant is broken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace blkio::fuzz {

/// libFuzzer's bytes as text.
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// `what` is the sentence that should have been true.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken invariant: %s\n", what);
  std::abort();
}

/// The text up to the first `separator`, which goes too; all of it if there is none.
inline std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view taken = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return taken;
}

}  // namespace blkio::fuzz
