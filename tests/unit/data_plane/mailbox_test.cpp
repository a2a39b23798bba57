// SPDX-License-Identifier: MIT
#include "data_plane/mailbox.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using namespace blkio::data_plane;

namespace {

struct Add final : Task {
  explicit Add(int& to) : sum(to) {}
  void run() override { ++sum; }
  int& sum;
};

}  // namespace

TEST_CASE("mailbox: a task has run, once, when its wait is over") {
  Mailbox box;
  box.run();    // nothing there
  int sum = 0;  // written by the reader, read by the writer: the box orders them
  std::atomic<bool> ended = false;
  std::thread reader([&] {
    while (!ended) box.run();
  });
  int wrong = 0;
  for (int i = 1; i <= 5000; ++i) {
    Add task(sum);
    box.put(task);
    box.wait();
    if (sum != i) ++wrong;
  }
  ended = true;
  reader.join();
  CHECK(wrong == 0);
}
