// SPDX-License-Identifier: MIT
#include "bfq_weights/depth.hpp"

#include <catch2/catch.hpp>
#include <functional>

using namespace blkio;
using namespace blkio::bfq_weights;

namespace {

/// A device that does rate(depth) requests a second, always asked for more than it does.
void serve(Depth& depth, TimeNs& now, TimeNs duration_ns,
           const std::function<double(unsigned)>& rate) {
  const TimeNs end = now + duration_ns;
  while (now < end) {
    now += static_cast<TimeNs>(1e9 / rate(depth.limit()));
    depth.completed(now, 4096, true);
  }
}

double serial(unsigned) {
  return 2300;
}
/// As deep as 32 it does twice as much with twice as many.
double parallel(unsigned depth) {
  return 2000.0 * std::min(depth, 32U);
}

}  // namespace

TEST_CASE("depth: a serial device needs no queue") {
  Depth depth;
  TimeNs now = 0;
  serve(depth, now, 10 * kSecondNs, serial);
  // The trial of one more takes a window in ten.
  CHECK(depth.limit() <= 2);
}

TEST_CASE("depth: a device that does more with more gets what it can use") {
  Depth depth;
  TimeNs now = 0;
  serve(depth, now, kSecondNs, parallel);
  CHECK(depth.limit() >= 32);
  CHECK(depth.limit() <= 64);  // 64 while it is tried
  serve(depth, now, 20 * kSecondNs, parallel);
  CHECK(depth.limit() >= 16);
  CHECK(depth.limit() <= 64);
}

TEST_CASE("depth: it follows a device that changes") {
  Depth depth;
  TimeNs now = 0;
  serve(depth, now, 5 * kSecondNs, parallel);
  // The best rate of before is forgotten by a hundredth each window of 25 ms: from 64,000 to 2,300
  // takes ln(28) / 0.01 = 333 windows.
  serve(depth, now, 20 * kSecondNs, serial);
  CHECK(depth.limit() <= 4);
  serve(depth, now, 5 * kSecondNs, parallel);
  CHECK(depth.limit() >= 16);
}

TEST_CASE("depth: times in which nobody waits for a place tell nothing") {
  Depth depth;
  for (TimeNs now = 0; now < 10 * kSecondNs; now += kMillisecondNs) {
    depth.completed(now, 4096, now % (10 * kMillisecondNs) != 0);
  }
  CHECK(depth.limit() == Depth::kFirst);
}

TEST_CASE("depth: what is fixed stays") {
  Depth depth(7);
  TimeNs now = 0;
  serve(depth, now, 3 * kSecondNs, parallel);
  CHECK(depth.limit() == 7);
}
