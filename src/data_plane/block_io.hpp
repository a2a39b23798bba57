// SPDX-License-Identifier: MIT
/// Requests at the device: alignment, splicing of unaligned writes, short transfers.
#pragma once

#include <boost/intrusive/list.hpp>

#include "backing_device.hpp"
#include "request.hpp"

namespace blkio::data_plane {

/// Called when a request has ended at the device; error is a positive errno or 0.
class BlockIoListener {
 public:
  virtual ~BlockIoListener() = default;
  virtual void on_device_done(Request& request, int error) = 0;
};

/// One per device, on the engine thread. Requests are within the device's bounds.
///
/// A write that does not cover whole blocks reads the blocks around it, splices itself in and
/// writes them back. Meanwhile no other write may touch these blocks: it waits in blocked_, in
/// order. While there is no such write, nothing is looked at but one counter.
class BlockIo {
 public:
  BlockIo(Ring& ring, BufferArena& arena, const BackingDevice& device, FileIndex file,
          BlockIoListener& listener);

  /// False if there is no memory for the data now; nothing has happened then.
  bool submit(Request& request);
  std::size_t in_flight() const { return in_flight_; }

 private:
  bool aligned(const Request& request) const;
  void widen(Request& request) const;
  bool prepare(Request& request);
  void start(Request& request);
  void start_write(Request& request);
  void issue(Request& request);
  void on_result(Request& request, std::int32_t result);
  void finish(Request& request, int error);
  bool must_wait(const Request& request) const;
  void retry_blocked();

  using DeviceList = boost::intrusive::list<
      Request, boost::intrusive::member_hook<Request, boost::intrusive::list_member_hook<>,
                                             &Request::device_link>>;
  Ring& ring_;
  BufferArena& arena_;
  const BackingDevice& device_;
  FileIndex file_;
  BlockIoListener& listener_;
  DeviceList writes_;        ///< at the device
  DeviceList blocked_;       ///< wait for an unaligned write to end, or are one that waits
  std::size_t spliced_ = 0;  ///< unaligned writes in either list
  std::size_t in_flight_ = 0;
};

}  // namespace blkio::data_plane
