// SPDX-License-Identifier: MIT
/// The units of the sizes people write.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace blkio {

/// Takes the unit off the end of a size and returns what it stands for: K, M, G, T are 1000^n, Ki,
/// Mi, Gi, Ti 1024^n, a small k too; 1 where there is none.
constexpr std::uint64_t take_size_unit(std::string_view& text) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 10> kUnits{
      {{"ki", 1ULL << 10},
       {"Ki", 1ULL << 10},
       {"Mi", 1ULL << 20},
       {"Gi", 1ULL << 30},
       {"Ti", 1ULL << 40},
       {"k", 1'000},
       {"K", 1'000},
       {"M", 1'000'000},
       {"G", 1'000'000'000},
       {"T", 1'000'000'000'000}}};
  for (const auto& [unit, value] : kUnits) {
    if (!text.ends_with(unit)) continue;
    text.remove_suffix(unit.size());
    return value;
  }
  return 1;
}

}  // namespace blkio
