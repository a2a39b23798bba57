// SPDX-License-Identifier: MIT
/// From the control thread to an engine: one task at a time, lock-free, answered.
#pragma once

#include <atomic>
#include <cstdint>

namespace blkio::data_plane {

/// Something for the engine to do, on the stack of the thread that waits for it.
class Task {
 public:
  virtual ~Task() = default;
  virtual void run() = 0;
};

/// One writer, which waits for each of its tasks, and one reader.
///
/// What is waited on belongs to the box, not to the task: the writer may have returned, and the
/// task be gone, before the reader has got round to waking it.
class Mailbox {
 public:
  /// The task must live until wait() has returned.
  void put(Task& task) {
    ++sent_;
    task_.store(&task, std::memory_order_release);
  }
  /// Returns when the task that was put last has run.
  void wait() const {
    for (std::uint32_t run = done_.load(std::memory_order_acquire); run != sent_;
         run = done_.load(std::memory_order_acquire)) {
      done_.wait(run, std::memory_order_acquire);
    }
  }
  /// Runs the task, if there is one.
  void run() {
    Task* task = task_.exchange(nullptr, std::memory_order_acquire);
    if (task == nullptr) return;
    task->run();
    done_.fetch_add(1, std::memory_order_release);
    done_.notify_one();
  }

 private:
  std::atomic<Task*> task_ = nullptr;
  std::atomic<std::uint32_t> done_ = 0;
  std::uint32_t sent_ = 0;  ///< the writer's
};

}  // namespace blkio::data_plane
