// SPDX-License-Identifier: MIT
#include "throttle/gate.hpp"

namespace blkio::throttle {

void Gate::charge(Direction direction, Charge charge, TimeNs now, bool held) {
  const bool read = direction == Direction::kRead;
  pace(read ? Limit::kReadBps : Limit::kWriteBps).charge(charge.bytes, now, held);
  pace(read ? Limit::kReadIops : Limit::kWriteIops).charge(charge.ios, now, held);
}

void Gate::set_limit(Limit limit, std::optional<std::uint64_t> per_second, TimeNs now) {
  pace(limit).set_rate(per_second, now);
}

}  // namespace blkio::throttle
