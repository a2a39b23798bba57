// SPDX-License-Identifier: MIT
#include "throttle/gate.hpp"

#include <algorithm>

namespace blkio::throttle {

namespace {

Limit bytes_limit(Direction direction) {
  return direction == Direction::kRead ? Limit::kReadBps : Limit::kWriteBps;
}

Limit ios_limit(Direction direction) {
  return direction == Direction::kRead ? Limit::kReadIops : Limit::kWriteIops;
}

}  // namespace

void Gate::refresh(Direction direction) {
  const Pace& bytes = pace(bytes_limit(direction));
  const Pace& ios = pace(ios_limit(direction));
  limited_[index(direction)] = bytes.limited() || ios.limited();
  opens_at_[index(direction)] = std::max(bytes.opens_at(), ios.opens_at());
}

void Gate::charge(Direction direction, Charge charge, TimeNs now, bool held) {
  if (!limited(direction)) return;
  pace(bytes_limit(direction)).charge(charge.bytes, now, held);
  pace(ios_limit(direction)).charge(charge.ios, now, held);
  refresh(direction);
}

void Gate::set_limit(Limit limit, std::optional<std::uint64_t> per_second, TimeNs now) {
  pace(limit).set_rate(per_second, now);
  refresh(direction_of(limit));
}

}  // namespace blkio::throttle
