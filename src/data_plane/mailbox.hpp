// SPDX-License-Identifier: MIT
/// From the control thread to an engine: bounded, lock-free, answered.
#pragma once

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>

namespace blkio::data_plane {

/// Something for the engine to do, on the stack of the thread that waits for it.
class Task {
 public:
  virtual ~Task() = default;
  virtual void run() = 0;

  void finish() {
    done_.store(true, std::memory_order_release);
    done_.notify_one();
  }
  void wait() const { done_.wait(false, std::memory_order_acquire); }

 private:
  std::atomic<bool> done_ = false;
};

/// One writer, one reader. The writer waits for each task, so the box is never full for long.
class Mailbox {
 public:
  bool push(Task* task) { return box_.push(task); }
  /// Runs all tasks there are.
  void run_all() {
    Task* task = nullptr;
    while (box_.pop(task)) {
      task->run();
      task->finish();
    }
  }

 private:
  boost::lockfree::spsc_queue<Task*, boost::lockfree::capacity<64>> box_;
};

}  // namespace blkio::data_plane
