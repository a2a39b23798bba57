// SPDX-License-Identifier: MIT
#include "device_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace blkio::data_plane {
namespace {

constexpr std::uint64_t kFileInode = 2;  // what stat(2) shows for every node of the device

/// Flags of INIT we understand and want (fs/fuse/inode.c, process_init_reply, says what they do).
constexpr std::uint64_t kWantedFlags = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
                                       FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
                                       FUSE_MAX_PAGES | FUSE_INIT_EXT | kInitHasResend;

LockType lock_type(std::uint32_t type) {
  if (type == F_RDLCK) return LockType::kShared;
  return type == F_WRLCK ? LockType::kExclusive : LockType::kUnlock;
}

FileLock lock_of(const fuse_lk_in& in) {
  FileLock lock;
  lock.kind = (in.lk_flags & FUSE_LK_FLOCK) != 0 ? LockKind::kFlock : LockKind::kRange;
  lock.type = lock_type(in.lk.type);
  lock.start = in.lk.start;
  lock.end = in.lk.end;
  lock.owner = in.owner;
  lock.handle = in.fh;
  lock.pid = static_cast<pid_t>(in.lk.pid);
  return lock;
}

/// The entries of one READDIR, as many as the reader has room for.
class EntryList {
 public:
  explicit EntryList(std::size_t limit) : limit_(std::min(limit, bytes_.size())) {}

  /// `cookie` is where the next READDIR goes on. What follows one that does not fit is left out.
  void add(std::uint64_t cookie, std::uint32_t type, std::string_view name);
  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return size_; }

 private:
  std::array<std::byte, 1024> bytes_{};
  std::size_t limit_;
  std::size_t size_ = 0;
};

void EntryList::add(std::uint64_t cookie, std::uint32_t type, std::string_view name) {
  const std::size_t bytes = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name.size());
  if (size_ + bytes > limit_) {
    limit_ = 0;
    return;
  }
  fuse_dirent entry{};
  entry.ino = type == DT_DIR ? FUSE_ROOT_ID : kFileInode;
  entry.off = cookie;
  entry.namelen = static_cast<std::uint32_t>(name.size());
  entry.type = type;
  std::memcpy(bytes_.data() + size_, &entry, FUSE_NAME_OFFSET);
  std::memcpy(bytes_.data() + size_ + FUSE_NAME_OFFSET, name.data(), name.size());
  size_ += bytes;
}

}  // namespace

DeviceFiles::DeviceFiles(const BackingDevice& device, Replier& replier, Negotiated& negotiated,
                         bool over_ring)
    : device_(device),
      replier_(replier),
      negotiated_(negotiated),
      over_ring_(over_ring),
      permissions_(device.permissions),
      uid_(device.uid),
      gid_(device.gid),
      started_s_(std::time(nullptr)) {}

void DeviceFiles::handle(const Message& message) {
  switch (message.header.opcode) {
    case FUSE_INIT:
      return init(message);
    case FUSE_LOOKUP:
      return lookup(message);
    case FUSE_GETATTR:
      return get_attributes(message);
    case FUSE_SETATTR:
      return set_attributes(message);
    case FUSE_OPENDIR:
      return answer(message, fuse_open_out{});
    case FUSE_READDIR:
      return read_directory(message);
    case FUSE_RELEASEDIR:
    case FUSE_FSYNCDIR:
    case FUSE_DESTROY:
      return ok(message);
    case FUSE_GETLK:
      return get_lock(message);
    case FUSE_SETLK:
      return set_lock(message, false);
    case FUSE_SETLKW:
      return set_lock(message, true);
    case FUSE_FLUSH:
      return flush(message);
    case FUSE_RELEASE:
      return release(message);
    case FUSE_STATFS:
      return status(message);
    case FUSE_IOCTL:
      return error(message, ENOTTY);
    case FUSE_LISTXATTR:
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
      return error(message, EOPNOTSUPP);
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return error(message, EPERM);
    // The kernel does without what is not known: getxattr, lseek, poll, statx, create, ...
    default:
      return error(message, ENOSYS);
  }
}

void DeviceFiles::init(const Message& message) {
  fuse_init_in in{};
  // The fields behind `flags` came with 7.36; older kernels send less.
  std::memcpy(&in, message.body.data(), std::min(message.body.size(), sizeof in));
  if (in.major != FUSE_KERNEL_VERSION) return error(message, EPROTO);
  std::uint64_t offered = in.flags;
  if ((in.flags & FUSE_INIT_EXT) != 0) offered |= std::uint64_t{in.flags2} << 32;
  const std::uint64_t flags = offered & (kWantedFlags | (over_ring_ ? kInitOverIoUring : 0));

  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  out.max_readahead = 0;
  out.flags = static_cast<std::uint32_t>(flags);
  out.flags2 = static_cast<std::uint32_t>(flags >> 32);
  // The default of 12 gates asynchronous direct I/O: a group with 12 held requests would stop all.
  out.max_background = UINT16_MAX;
  out.congestion_threshold = UINT16_MAX;
  out.max_write = kMaxTransfer;
  out.max_pages = kMaxPages;
  out.time_gran = 1;
  negotiated_.flags = flags;
  negotiated_.minor = in.minor;
  answer(message, out);
}

fuse_attr DeviceFiles::attributes(std::uint64_t node) const {
  fuse_attr attr{};
  attr.blksize = 4096;
  attr.mtime = attr.ctime = attr.atime = static_cast<std::uint64_t>(started_s_);
  if (node == FUSE_ROOT_ID) {
    attr.ino = FUSE_ROOT_ID;
    attr.mode = S_IFDIR | 0755;
    attr.nlink = 2;
    return attr;
  }
  attr.ino = kFileInode;
  attr.size = device_.bytes;
  attr.blocks = device_.bytes / 512;
  attr.mode = S_IFREG | permissions_;
  attr.nlink = 1;
  attr.uid = uid_;
  attr.gid = gid_;
  return attr;
}

void DeviceFiles::lookup(const Message& message) {
  const std::string_view name(
      reinterpret_cast<const char*>(message.body.data()),
      strnlen(reinterpret_cast<const char*>(message.body.data()), message.body.size()));
  if (message.header.nodeid != FUSE_ROOT_ID) return error(message, ENOTDIR);
  if (name != device_.name) return error(message, ENOENT);
  fuse_entry_out out{};
  out.nodeid = next_node_++;
  out.attr = attributes(out.nodeid);
  answer(message, out);
}

void DeviceFiles::get_attributes(const Message& message) {
  fuse_attr_out out{};
  out.attr = attributes(message.header.nodeid);
  answer(message, out);
}

void DeviceFiles::set_attributes(const Message& message) {
  fuse_setattr_in in{};
  if (!message.read(in)) return error(message, EINVAL);
  if (message.header.nodeid == FUSE_ROOT_ID) return error(message, EPERM);
  if ((in.valid & FATTR_SIZE) != 0 && in.size != device_.bytes) {
    // A device cannot be cut. open(2) with O_TRUNC is let pass without effect, as on a device; it
    // carries no handle, ftruncate(2) does.
    const bool open_truncates = in.size == 0 && (in.valid & FATTR_FH) == 0;
    if (!open_truncates) return error(message, EINVAL);
  }
  if ((in.valid & FATTR_MODE) != 0) permissions_ = in.mode & 07777;
  if ((in.valid & FATTR_UID) != 0) uid_ = in.uid;
  if ((in.valid & FATTR_GID) != 0) gid_ = in.gid;
  get_attributes(message);
}

void DeviceFiles::read_directory(const Message& message) {
  fuse_read_in in{};
  if (!message.read(in)) return error(message, EINVAL);
  EntryList entries(in.size);
  if (in.offset < 1) entries.add(1, DT_DIR, ".");
  if (in.offset < 2) entries.add(2, DT_DIR, "..");
  if (in.offset < 3) entries.add(3, DT_REG, device_.name);
  replier_.answer(message.reply_to(), 0, entries.data(), entries.size());
}

int DeviceFiles::refuse_open(std::uint64_t node, std::uint32_t flags) const {
  if (node == FUSE_ROOT_ID) return EISDIR;
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  return writes && device_.read_only ? EROFS : 0;
}

void DeviceFiles::open(ReplyTo to, std::uint64_t handle) {
  fuse_open_out out{};
  out.fh = handle;
  out.open_flags = kOpenDirectIo | kOpenParallelDirectWrites;
  replier_.answer(to, 0, &out, sizeof out);
}

void DeviceFiles::get_lock(const Message& message) {
  fuse_lk_in in{};
  if (!message.read(in)) return error(message, EINVAL);
  fuse_lk_out out{};
  out.lk.type = F_UNLCK;
  if (const auto held = locks_.conflict(lock_of(in))) {
    out.lk.type = held->type == LockType::kExclusive ? F_WRLCK : F_RDLCK;
    out.lk.start = held->start;
    out.lk.end = held->end;
    out.lk.pid = static_cast<std::uint32_t>(held->pid);
  }
  answer(message, out);
}

void DeviceFiles::set_lock(const Message& message, bool wait) {
  fuse_lk_in in{};
  if (!message.read(in)) return error(message, EINVAL);
  const FileLock lock = lock_of(in);
  if (locks_.conflict(lock)) {
    // flock(2): a conversion gives up the old lock first, so that two who hold a shared one and
    // want it alone do not wait for each other for ever.
    if (lock.kind == LockKind::kFlock) give_up(lock);
    if (!wait) return error(message, EAGAIN);
    waiting_.push_back({message.reply_to(), lock});
    return;
  }
  locks_.set(lock);
  ok(message);
  retry_waiting();
}

void DeviceFiles::give_up(FileLock lock) {
  lock.type = LockType::kUnlock;
  locks_.set(lock);
  retry_waiting();
}

void DeviceFiles::retry_waiting() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto next = std::next(it);
    if (!locks_.conflict(it->lock)) {
      locks_.set(it->lock);
      end_wait(it, 0);
    }
    it = next;
  }
}

void DeviceFiles::end_wait(Waits::iterator wait, int number) {
  replier_.answer(wait->to, number, nullptr, 0);
  waiting_.erase(wait);
}

bool DeviceFiles::interrupt(std::uint64_t unique) {
  const auto wait = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const LockWait& w) { return w.to.unique == unique; });
  if (wait == waiting_.end()) return false;
  end_wait(wait, EINTR);
  return true;
}

void DeviceFiles::fail_waiting(int number) {
  while (!waiting_.empty()) end_wait(waiting_.begin(), number);
}

void DeviceFiles::flush(const Message& message) {
  fuse_flush_in in{};
  if (!message.read(in)) return error(message, EINVAL);
  if (locks_.drop_owner(in.lock_owner)) retry_waiting();
  ok(message);
}

void DeviceFiles::release(const Message& message) {
  fuse_release_in in{};
  if (!message.read(in)) return error(message, EINVAL);
  if (locks_.drop_handle(in.fh)) retry_waiting();
  ok(message);
}

void DeviceFiles::status(const Message& message) {
  fuse_statfs_out out{};
  out.st.bsize = 4096;
  out.st.frsize = 4096;
  out.st.blocks = device_.bytes / 4096;
  out.st.namelen = 255;
  answer(message, out);
}

}  // namespace blkio::data_plane
