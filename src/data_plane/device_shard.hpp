// SPDX-License-Identifier: MIT
/// One device from request to reply: the page that tells the product.
///
///     message -> admit -> queue -> pick -> submit -> complete -> account -> reply
///
/// Owns the device's connection, limits, counters and requests. Everything runs on its engine's
/// thread, nothing here waits.
#pragma once

#include <boost/intrusive/slist.hpp>
#include <boost/intrusive/unordered_set.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "backing_device.hpp"
#include "blkio/controller.hpp"
#include "block_io.hpp"
#include "device_files.hpp"
#include "io_queue.hpp"
#include "placement.hpp"
#include "request.hpp"
#include "transport.hpp"

namespace blkio::data_plane {

/// What the shards of one engine share.
struct EngineParts {
  Ring& ring;
  BufferArena& arena;
  RequestPool& requests;
  GroupMap& groups;
  IssuerDirectory& issuers;
  /// True if a process is exiting or gone; must not block.
  std::function<bool(pid_t)> process_gone;
  /// True if a thread that waits for its I/O has been killed or is gone; must not block.
  std::function<bool(pid_t)> thread_killed;
  Placement& placement;
  /// The engine's time: when its ring last woke it. What completions are stamped with.
  const TimeNs& now;
  /// Told of a device's groups whose limits have begun to hold somebody, or hold nobody any more:
  /// at most once a turn, and never while nobody is held. Must not block.
  std::function<void(DeviceNumber, const std::vector<GroupId>&)> holders_changed{};
};

struct ShardOptions {
  TransportKind transport = TransportKind::kClassic;
  Hierarchy hierarchy = Hierarchy::kTree;
  bool count_from_start = true;  ///< throttle.* counters run before the first rule
  std::size_t max_held_bytes = 256u << 20;
  std::optional<unsigned> depth{};  ///< see Sharing
};

class DeviceShard final : public MessageSink, public Replier, public BlockIoListener {
 public:
  /// weighted: see Sharing.
  DeviceShard(EngineParts parts, const BackingDevice& device, FileIndex fuse, FileIndex file,
              const ShardOptions& options, bool weighted, Negotiated& negotiated);
  ~DeviceShard() override;

  /// One turn of the engine's loop: admits what has arrived, dispatches what may go.
  void turn(TimeNs now);
  /// When turn() is to be called again even if nothing arrives; kNever if there is no such time.
  TimeNs deadline();

  /// As of Transport; neither does anything once the shard is stopped.
  bool look() { return !stopping_ && transport_->look(); }
  void expect() {
    if (!stopping_) transport_->expect();
  }

  IoQueue& queue() { return queue_; }
  const BackingDevice& device() const { return device_; }
  /// Requests whose issuer cannot be told are charged to this group instead of the opener's.
  void set_default_group(std::optional<GroupId> group) { default_group_ = group; }

  /// No new requests from now on; what waits fails with EIO and is never started.
  void stop();
  /// True once nothing of a stopped shard is at the device or on its way to a client.
  bool drained() const;
  /// True once a drained shard whose connection has been aborted has nothing left in the ring: it
  /// may be destroyed.
  bool quiet() const { return drained() && transport_->quiet(); }
  FileIndex fuse() const { return fuse_; }
  FileIndex file() const { return file_; }
  bool connected() const { return !lost_; }
  TransportKind transport() const { return transport_->in_use(); }
  bool negotiated() const { return files_.negotiated(); }
  std::size_t held() const { return held_.size(); }
  std::size_t held_bytes() const { return held_bytes_; }
  std::size_t in_flight() const { return io_.in_flight(); }

  // MessageSink
  bool on_message(const Message& message, Buffer& landing) override;
  void on_connection_lost() override;
  void on_replied(Request& request) override;
  // Replier
  void answer(ReplyTo to, int error, const void* data, std::size_t bytes) override;
  // BlockIoListener
  void on_device_done(Request& request, int error) override;

 private:
  struct ByUnique {
    using type = std::uint64_t;
    std::uint64_t operator()(const Request& request) const { return request.unique; }
  };
  using HeldSet = boost::intrusive::unordered_set<
      Request,
      boost::intrusive::member_hook<Request, boost::intrusive::unordered_set_member_hook<>,
                                    &Request::held_link>,
      boost::intrusive::key_of_value<ByUnique>>;

  // message -> request
  bool on_read(const Message& message);
  bool on_write(const Message& message, Buffer& landing);
  bool on_fsync(const Message& message);
  bool on_fallocate(const Message& message);
  bool on_open(const Message& message);
  Request& make_request(const Message& message, Op op, std::uint64_t handle);
  bool keep_payload(Request& request, Buffer& landing);
  void arrive(Request& request) { arrivals_.push_back(&request); }
  bool refuse(const Message& message, int error);

  // admit -> queue -> pick
  void admit_arrivals(TimeNs now);
  void admit(Request& request, const Issuer& issuer, TimeNs now);
  void open(Request& request, GroupId group);
  GroupId group_of(const Request& request, const Issuer& issuer) const;
  void pump(TimeNs now);
  static std::size_t held_cost(const Request& request);
  void hold(Request& request);
  void unhold(Request& request);
  void compact(Request& request);

  // the end of a request
  void reply(Request& request, int error, std::byte* data, std::uint32_t bytes);
  void fail_held(Request& request, int error);
  void fail_overdue(TimeNs now);
  void tell_holders();
  void interrupt(std::uint64_t unique);
  bool killed(const Request& request) const;
  void sweep(TimeNs now);

  EngineParts parts_;
  const BackingDevice device_;
  const FileIndex fuse_;
  const FileIndex file_;
  std::size_t max_held_bytes_;
  IoQueue queue_;
  BlockIo io_;
  DeviceFiles files_;
  std::unique_ptr<Transport> transport_;
  std::optional<GroupId> default_group_;

  std::vector<Request*> arrivals_;
  std::vector<pid_t> tids_;
  std::vector<Issuer> issuers_;
  std::vector<HeldSet::bucket_type> buckets_;
  HeldSet held_;
  Request* starved_ = nullptr;  ///< picked, but there was no memory for its data
  std::size_t held_bytes_ = 0;
  std::uint32_t next_handle_ = 1;
  TimeNs next_sweep_ = kNever;
  bool stopping_ = false;
  bool lost_ = false;
};

}  // namespace blkio::data_plane
