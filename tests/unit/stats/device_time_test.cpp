// SPDX-License-Identifier: MIT
#include "stats/device_time.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

using blkio::TimeNs;
using blkio::stats::DeviceTime;

namespace {

constexpr DeviceTime::Parts kNs = DeviceTime::kPartsPerNs;

}  // namespace

TEST_CASE("a request alone has all the time, two share it by halves") {
  // a: 0 .. 20, b: 10 .. 30. a has 10 alone and half of 10; b half of 10 and 10 alone.
  DeviceTime device;
  device.enter(0);
  const auto a = device.per_request();
  device.enter(10);
  const auto b = device.per_request();
  CHECK(device.leave(20) == 0);
  CHECK(device.per_request() - a == 15 * kNs);
  CHECK(device.leave(30) == 0);
  CHECK(device.per_request() - b == 15 * kNs);
}

TEST_CASE("an idle device's time is nobody's") {
  DeviceTime device;
  device.enter(100);
  device.leave(110);
  const auto before = device.per_request();
  device.advance(500);
  device.enter(1000);
  CHECK(device.per_request() == before);
}

TEST_CASE("what a division leaves over goes to the next interval, the last rest to the last") {
  // Three requests for 1 ns, 16 parts: 5 each, 1 is left. Then two for 1 ns: 17 parts, 8 each, and
  // 1 is left. Then one for 1 ns: 17 parts. Together 3 * 5 + 2 * 8 + 17 = 48 = 3 ns.
  DeviceTime device;
  for (int i = 0; i < 3; ++i) device.enter(0);
  const auto start = device.per_request();
  CHECK(device.leave(1) == 0);
  CHECK(device.per_request() - start == 5);
  CHECK(device.leave(2) == 0);
  CHECK(device.per_request() - start == 13);
  CHECK(device.leave(3) == 0);
  CHECK(device.per_request() - start == 30);

  // Three for 1 ns that end together: 5 each, and the last to leave takes the 1 that is left.
  for (int i = 0; i < 3; ++i) device.enter(10);
  CHECK(device.leave(11) == 0);
  CHECK(device.leave(11) == 0);
  CHECK(device.leave(11) == 1);
}

TEST_CASE("the shares add up to the busy time to the last part") {
  std::mt19937_64 random(7);
  DeviceTime device;
  std::vector<DeviceTime::Parts> entered;  // of the requests at the device
  DeviceTime::Parts shares = 0;
  TimeNs busy = 0;
  TimeNs now = 0;
  for (int event = 0; event < 100'000; ++event) {
    const auto dt = static_cast<TimeNs>(random() % 50);
    if (!entered.empty()) busy += dt;
    now += dt;
    // Towards few and towards many in turn, so that the device is idle now and then.
    const bool fills = event / 500 % 2 == 0;
    const bool leaves = !entered.empty() && random() % 100 < (fills ? 45U : 60U);
    if (leaves) {
      std::swap(entered[random() % entered.size()], entered.back());
      shares += device.leave(now);
      shares += device.per_request() - entered.back();
      entered.pop_back();
    } else {
      device.enter(now);
      entered.push_back(device.per_request());
    }
    if (entered.empty()) {
      CHECK(shares == static_cast<DeviceTime::Parts>(busy) * kNs);
    }
  }
  CHECK(busy > 1'000'000);
}
