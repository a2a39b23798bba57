// SPDX-License-Identifier: MIT
/// What the table of all tasks costs when it is large; entries are injected, no task is real.
///
///   task_table_bench        a table: entries -> ns per look-up, fork and exit, move; us per
///   listing
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <vector>

#include "cgroupfs/task_table.hpp"

namespace {

using namespace blkio;
using cgroupfs::TaskInfo;
using cgroupfs::TaskTable;

constexpr pid_t kFirst = 1000;
constexpr pid_t kThreads = 10;  // of a process
constexpr int kCalls = 1'000'000;
constexpr GroupId kFull{2};
constexpr GroupId kOther{3};

/// Nanoseconds per call of f(i).
template <class F>
double each_ns(int calls, F f) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) f(i);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / calls;
}

void fill(TaskTable& table, pid_t entries) {
  for (pid_t i = 0; i < entries; ++i) {
    table.add(kFirst + i, {.group = kFull, .tgid = kFirst + i - i % kThreads});
  }
}

void measure(pid_t entries) {
  const std::size_t before = mallinfo2().uordblks;
  TaskTable table;
  fill(table, entries);
  const std::size_t bytes = (mallinfo2().uordblks - before) / static_cast<std::size_t>(entries);
  // A stride that is coprime to the counts: no look-up finds its neighbour's cache line.
  const auto any = [entries](int i) {
    return kFirst + static_cast<pid_t>(static_cast<std::int64_t>(i) * 7919 % entries);
  };
  std::size_t found = 0;
  const double find_ns = each_ns(kCalls, [&](int i) { found += table.find(any(i)).has_value(); });
  const pid_t child = kFirst + entries;
  const double fork_ns = each_ns(kCalls, [&](int i) {
    table.forked(any(i), child, child);
    table.exited(child);
  });
  const double move_ns =
      each_ns(kCalls, [&](int i) { table.move(any(i), i / entries % 2 == 0 ? kOther : kFull); });
  for (pid_t i = 0; i < entries; ++i) table.move(kFirst + i, kFull);
  std::size_t listed = 0;
  const double list_ns = each_ns(
      20, [&](int) { table.for_each_member(kFull, [&](pid_t, const TaskInfo&) { ++listed; }); });
  if (found == 0 || listed != 20 * static_cast<std::size_t>(entries)) std::abort();
  std::printf("| %d | %.0f | %.0f | %.0f | %.0f | %zu |\n", entries, find_ns, fork_ns, move_ns,
              list_ns / 1000, bytes);
}

}  // namespace

int main() {
  std::printf("| entries | find, ns | fork + exit, ns | move, ns | list all, us | bytes each |\n");
  std::printf("|---:|---:|---:|---:|---:|---:|\n");
  for (const pid_t entries : {50, 5'000, 50'000}) measure(entries);
}
