// SPDX-License-Identifier: MIT
#include "cgroupfs/fuse_operations.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <vector>

#include "cgroupfs/file_table.hpp"
#include "cgroupfs/group_tree.hpp"
#include "cgroupfs/node.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr blksize_t kBlockSize = 4096;
/// About as long as a system call: it need not ask again, for each directory of its path, what the
/// answer before has told. What is changed through the mount the kernel forgets at once.
constexpr double kAttributesHoldSeconds = 0.001;
constexpr unsigned kMaxRequestBytes = 64 * 1024;  // above the longest write and xattr there may be
constexpr off_t kMaxFileBytes = (off_t{1} << 31) - 1;  // include/linux/fs.h, MAX_NON_LFS
constexpr mode_t kPermissionBits = 07777;
constexpr mode_t kMkdirBits = 01777;  // as fs/namei.c, vfs_mkdir

FuseMount& mount_of(fuse_req_t request) {
  return *static_cast<FuseMount*>(fuse_req_userdata(request));
}

/// What a node id stands for at this moment.
struct Node {
  NodeId id{};
  Group* group = nullptr;         ///< nullptr: removed, but somebody has it open
  const FileRow* file = nullptr;  ///< nullptr: the directory itself
};

Node node_of(FuseMount& mount, fuse_ino_t ino) {
  const NodeId id{ino};
  Group* const group = mount.services.tree.find(group_of(id));
  if (file_of(id) == FileNumber::kDirectory) return {id, group, nullptr};
  const bool in_root = group_of(id) == GroupId::kRoot;
  const FileRow* const file = find_file(file_of(id), mount.services.dialect, in_root);
  return {id, file == nullptr ? nullptr : group, file};
}

timespec to_timespec(WallTimeNs time) {
  const WallTimeNs fraction = (time % kSecondNs + kSecondNs) % kSecondNs;  // before 1970 too
  return {(time - fraction) / kSecondNs, fraction};
}
/// utimensat(2) takes any time; what is not within 292 years of 1970 becomes the nearest that is.
WallTimeNs from_timespec(const timespec& time) {
  constexpr WallTimeNs kMostSeconds = std::numeric_limits<WallTimeNs>::max() / kSecondNs - 5;
  const auto seconds = std::clamp<WallTimeNs>(time.tv_sec, -kMostSeconds, kMostSeconds);
  return seconds * kSecondNs + std::clamp<WallTimeNs>(time.tv_nsec, 0, kSecondNs - 1);
}

mode_t type_of(const Node& node) {
  return file_of(node.id) == FileNumber::kDirectory ? S_IFDIR : S_IFREG;
}

/// stat(2) of a removed group's open files still works and says little.
struct stat stat_of(const Node& node) {
  const Attributes now = node.group == nullptr ? Attributes{} : attributes(*node.group, node.file);
  struct stat stat {};
  stat.st_ino = static_cast<ino_t>(node.id);
  stat.st_mode = type_of(node) | now.mode;
  stat.st_nlink = 1;
  if (S_ISDIR(stat.st_mode)) {
    stat.st_nlink = 2 + (node.group == nullptr ? 0 : node.group->children.size());
  }
  stat.st_uid = now.uid;
  stat.st_gid = now.gid;
  stat.st_blksize = kBlockSize;
  stat.st_atim = to_timespec(now.accessed);
  stat.st_mtim = to_timespec(now.modified);
  stat.st_ctim = to_timespec(now.changed);
  return stat;
}

template <class T>
void reply_status(fuse_req_t request, const Result<T>& result) {
  fuse_reply_err(request, result ? 0 : result.error().number);
}

void reply_entry(fuse_req_t request, const Node& node) {
  fuse_entry_param entry{};
  entry.ino = static_cast<fuse_ino_t>(node.id);
  entry.attr = stat_of(node);
  entry.attr_timeout = kAttributesHoldSeconds;
  fuse_reply_entry(request, &entry);  // the name's timeout is 0: always asked again
}

/// Before the reply: whoever has it finds the change after a restart.
void note_change(const FuseMount& mount, const Node& node) {
  if (mount.services.changes != nullptr) mount.services.changes->group_changed(group_of(node.id));
}

void touch(Node& node, WallTimeNs now) {
  Attributes& own = own_attributes(*node.group, node.file);
  own.modified = own.changed = now;
}

// --- the conversation -------------------------------------------------------------------------

void op_init(void*, fuse_conn_info* connection) {
  connection->max_write = kMaxRequestBytes;
  // Splicing would bypass our read; the kernel is to strip set-id bits itself.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                             FUSE_CAP_SPLICE_MOVE | FUSE_CAP_HANDLE_KILLPRIV);
}

void op_statfs(fuse_req_t request, fuse_ino_t) {
  struct statvfs stat {};
  stat.f_bsize = stat.f_frsize = kBlockSize;
  stat.f_namemax = 255;
  fuse_reply_statfs(request, &stat);
}

// --- names ------------------------------------------------------------------------------------

void op_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FuseMount& mount = mount_of(request);
  const FileServices& services = mount.services;
  const Node directory = node_of(mount, parent);
  if (directory.group == nullptr) return void(fuse_reply_err(request, ENOENT));
  const Group& group = *directory.group;
  if (Group* const child = services.tree.child(group, name)) {
    return reply_entry(request, {node_id(child->id), child, nullptr});
  }
  if (const FileRow* const file = find_file(name, services.dialect, group.is_root())) {
    return reply_entry(request,
                       {node_id(group.id, file_number(file->name)), directory.group, file});
  }
  fuse_reply_err(request, ENOENT);
}

void op_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  FuseMount& mount = mount_of(request);
  GroupTree& tree = mount.services.tree;
  const fuse_ctx& caller = *fuse_req_ctx(request);
  const Creator creator{mode & kMkdirBits, caller.uid, caller.gid, mount.now()};
  const auto made = tree.mkdir(group_of(NodeId{parent}), name, creator);
  if (!made) return void(fuse_reply_err(request, made.error().number));
  const Node node{node_id(made.value()), tree.find(made.value()), nullptr};
  note_change(mount, node);
  note_change(mount, {NodeId{parent}, nullptr, nullptr});  // its times
  reply_entry(request, node);
}

/// GroupId{} if there is none of that name.
GroupId child_id(FuseMount& mount, const Node& directory, const char* name) {
  if (directory.group == nullptr) return {};
  const Group* const child = mount.services.tree.child(*directory.group, name);
  return child == nullptr ? GroupId{} : child->id;
}

void op_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FuseMount& mount = mount_of(request);
  const Node directory = node_of(mount, parent);
  const GroupId group = child_id(mount, directory, name);
  const auto removed = mount.services.tree.rmdir(group_of(directory.id), name, mount.now());
  if (removed && mount.services.changes != nullptr) {
    mount.services.changes->group_removed(group, group_of(directory.id));
  }
  if (removed) tell_news(mount);
  reply_status(request, removed);
}

void op_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
  if (flags != 0) return void(fuse_reply_err(request, EINVAL));
  FuseMount& mount = mount_of(request);
  const Node directory = node_of(mount, parent);
  const GroupId group = child_id(mount, directory, name);
  const auto renamed = mount.services.tree.rename(
      group_of(directory.id), name, group_of(NodeId{new_parent}), new_name, mount.now());
  if (renamed) {
    note_change(mount, {node_id(group), nullptr, nullptr});
    note_change(mount, directory);
  }
  reply_status(request, renamed);
}

// Files exist because their group does; nobody makes or removes one.
void op_unlink(fuse_req_t request, fuse_ino_t, const char*) {
  fuse_reply_err(request, EPERM);
}

void op_create(fuse_req_t request, fuse_ino_t, const char*, mode_t, fuse_file_info*) {
  fuse_reply_err(request, EACCES);
}

void op_mknod(fuse_req_t request, fuse_ino_t, const char*, mode_t mode, dev_t) {
  fuse_reply_err(request, S_ISREG(mode) ? EACCES : EPERM);
}

void op_symlink(fuse_req_t request, const char*, fuse_ino_t, const char*) {
  fuse_reply_err(request, EPERM);
}

void op_link(fuse_req_t request, fuse_ino_t, fuse_ino_t, const char*) {
  fuse_reply_err(request, EPERM);
}

// --- listing ----------------------------------------------------------------------------------

/// A page of a directory. An entry's cookie says where to go on and stays right while groups come
/// and go: groups are listed by id, then the files, a blkio.* one last.
class DirectoryPage {
 public:
  DirectoryPage(fuse_req_t request, std::size_t size, off_t after)
      : request_(request), buffer_(size), after_(after) {}

  void fill(const FuseMount& mount, const Group& group) {
    add(".", kSelf, node_id(group.id), S_IFDIR);
    add("..", kParent, node_id(group.parent), S_IFDIR);
    const off_t last_child = std::max(after_ - kFirstChild, off_t{0});
    auto child = group.children.upper_bound(GroupId{static_cast<std::uint32_t>(last_child)});
    for (; after_ < kFirstFile && !full_ && child != group.children.end(); ++child) {
      const off_t cookie = kFirstChild + static_cast<off_t>(*child);
      add(mount.services.tree.find(*child)->name, cookie, node_id(*child), S_IFDIR);
    }
    off_t cookie = kFirstFile;
    for (const FileRow& file : all_files()) {
      ++cookie;
      if (!is_present(file, mount.services.dialect, group.is_root())) continue;
      add(std::string(file.name), cookie, node_id(group.id, file_number(file.name)), S_IFREG);
    }
  }
  void reply() const { fuse_reply_buf(request_, buffer_.data(), used_); }

 private:
  static constexpr off_t kSelf = 1;
  static constexpr off_t kParent = 2;
  static constexpr off_t kFirstChild = 2;              // ids start at 1
  static constexpr off_t kFirstFile = off_t{1} << 33;  // behind every 32-bit id

  void add(const std::string& name, off_t cookie, NodeId id, mode_t type) {
    if (full_ || cookie <= after_) return;
    struct stat stat {};
    stat.st_ino = static_cast<ino_t>(id);
    stat.st_mode = type;
    const std::size_t left = buffer_.size() - used_;
    const std::size_t needed =
        fuse_add_direntry(request_, buffer_.data() + used_, left, name.c_str(), &stat, cookie);
    full_ = needed > left;
    if (!full_) used_ += needed;
  }

  fuse_req_t request_;
  std::vector<char> buffer_;
  off_t after_;
  std::size_t used_ = 0;
  bool full_ = false;
};

void op_readdir(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t after,
                fuse_file_info*) {
  FuseMount& mount = mount_of(request);
  const Node node = node_of(mount, ino);
  if (node.group == nullptr) return void(fuse_reply_err(request, ENOENT));
  DirectoryPage page(request, size, after);
  page.fill(mount, *node.group);
  page.reply();
}

// --- files ------------------------------------------------------------------------------------

bool asks_for_opener(const FileRow& file) {
  return file.speaks_of_tasks || file.names_agent;
}

Opener opener_of(fuse_req_t request, const FileRow& file) {
  const FileServices& services = mount_of(request).services;
  const fuse_ctx& caller = *fuse_req_ctx(request);
  Opener opener{caller.uid, true, nullptr};
  if (file.speaks_of_tasks) opener.view = services.membership.seen_by(caller.pid);
  if (file.names_agent && services.may_name_agent) {
    opener.may_name_agent = services.may_name_agent(Writer{caller.pid, caller.uid});
  }
  return opener;
}

/// nullptr: it does not matter. The opener of a handle that an earlier process gave is not known
/// any more: there it is whoever uses it first.
const Opener* opener_of_handle(fuse_req_t request, const FileRow& file, std::uint64_t handle) {
  FuseMount& mount = mount_of(request);
  if (!asks_for_opener(file)) return nullptr;
  if (handle < mount.first_handle && !mount.openers.contains(handle)) {
    mount.openers.emplace(handle, opener_of(request, file));
  }
  const auto opener = mount.openers.find(handle);
  return opener == mount.openers.end() ? nullptr : &opener->second;
}

/// What a file works on, as its opener sees it.
FileServices services_for(fuse_req_t request, const Opener* opener) {
  const FileServices& ours = mount_of(request).services;
  if (opener == nullptr) return ours;
  const bool allowed = opener->may_name_agent;
  return {ours.tree,    ours.controller, opener->view == nullptr ? ours.membership : *opener->view,
          ours.dialect, ours.hierarchy,  [allowed](const Writer&) { return allowed; },
          ours.changes};
}

void op_open(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FuseMount& mount = mount_of(request);
  Node node = node_of(mount, ino);
  if (node.group == nullptr || node.file == nullptr) return void(fuse_reply_err(request, ENODEV));
  if ((info->flags & O_DIRECT) != 0) return void(fuse_reply_err(request, EINVAL));
  if ((info->flags & O_TRUNC) != 0) touch(node, mount.now());
  info->fh = mount.next_handle++;
  if (asks_for_opener(*node.file)) mount.openers.emplace(info->fh, opener_of(request, *node.file));
  info->direct_io = 1;  // sizes are 0, texts change by themselves
  info->noflush = 1;
  fuse_reply_open(request, info);
}

void op_read(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset,
             fuse_file_info* info) {
  FuseMount& mount = mount_of(request);
  const Node node = node_of(mount, ino);
  if (node.file == nullptr) return void(fuse_reply_err(request, ENODEV));
  const auto make = [&]() -> Result<std::string> {
    if (node.group == nullptr) return failure(ENODEV);
    // The number first: what happens meanwhile is news to who reads the text.
    if (node.file->news)
      mount.watches[info->fh].read = node.file->news(mount.services, *node.group);
    const Opener* opener = opener_of_handle(request, *node.file, info->fh);
    return show_file(services_for(request, opener), node.group->id, *node.file);
  };
  const auto offset_bytes = static_cast<std::uint64_t>(offset);
  const auto text = mount.snapshots.read(info->fh, offset_bytes, size, make);
  if (!text) return void(fuse_reply_err(request, text.error().number));
  // Of a removed group, what was begun is read to its end; the end itself is no answer any more.
  if (node.group == nullptr && text.value().empty()) return void(fuse_reply_err(request, ENODEV));
  fuse_reply_buf(request, text.value().data(), text.value().size());
}

/// The offset means nothing: every write(2) is a command of its own. It moves the writer (an id of
/// 0), but with the rights of who opened the file, as in the kernel.
void op_write(fuse_req_t request, fuse_ino_t ino, const char* data, std::size_t size, off_t,
              fuse_file_info* info) {
  FuseMount& mount = mount_of(request);
  Node node = node_of(mount, ino);
  if (file_of(node.id) == FileNumber::kDirectory) return void(fuse_reply_err(request, EISDIR));
  if (node.file == nullptr) return void(fuse_reply_err(request, ENODEV));
  const Opener* opener = opener_of_handle(request, *node.file, info->fh);
  const fuse_ctx& caller = *fuse_req_ctx(request);
  const Writer writer{caller.pid, opener == nullptr ? caller.uid : opener->uid};
  const auto stored = store_file(services_for(request, opener), group_of(node.id), *node.file,
                                 {data, size}, writer);
  if (!stored) return void(fuse_reply_err(request, stored.error().number));
  touch(node, mount.now());
  // Members are told of by who moves them; that the file's time has changed as well can wait.
  if (!node.file->speaks_of_tasks) note_change(mount, node);
  fuse_reply_write(request, size);
}

void op_release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  mount_of(request).snapshots.release(info->fh);
  mount_of(request).openers.erase(info->fh);
  mount_of(request).watches.erase(info->fh);
  fuse_reply_err(request, 0);
}

/// Whether a file has something to tell that was not read through the handle. One who is to wait
/// for it is kept.
bool has_news(FuseMount& mount, const Node& node, std::uint64_t handle,
              std::unique_ptr<fuse_pollhandle, DestroyPollHandle> waiter) {
  if (node.group == nullptr) return true;
  if (node.file == nullptr || !node.file->news) return !mount.snapshots.contains(handle);
  // Before the number is asked for: of what comes behind it, the waiter is told.
  if (waiter != nullptr) mount.is_watched = true;
  Watch& watch = mount.watches[handle];
  watch.node = node.id;
  watch.polled = node.file->news(mount.services, *node.group);
  watch.waiter = std::move(waiter);
  return watch.read != watch.polled;
}

/// As a file of kernfs: always ready, with news until it is read, and for ever when its group is
/// gone.
void op_poll(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info, fuse_pollhandle* waiter) {
  FuseMount& mount = mount_of(request);
  const Node node = node_of(mount, ino);
  unsigned events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
  if (has_news(mount, node, info->fh, std::unique_ptr<fuse_pollhandle, DestroyPollHandle>(waiter)))
    events |= POLLPRI | POLLERR;
  fuse_reply_poll(request, events);
}

void op_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
  fuse_reply_err(request, 0);
}
void op_fsyncdir(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
  fuse_reply_err(request, EINVAL);
}
void op_ioctl(fuse_req_t request, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned,
              const void*, std::size_t, std::size_t) {
  fuse_reply_err(request, ENOTTY);
}

// --- attributes -------------------------------------------------------------------------------

void op_getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
  const struct stat stat = stat_of(node_of(mount_of(request), ino));
  fuse_reply_attr(request, &stat, kAttributesHoldSeconds);
}

void apply(Attributes& own, const struct stat& wanted, int fields, WallTimeNs now) {
  const auto has = [fields](int field) { return (fields & field) != 0; };
  if (has(FUSE_SET_ATTR_MODE)) own.mode = wanted.st_mode & kPermissionBits;
  if (has(FUSE_SET_ATTR_UID)) own.uid = wanted.st_uid;
  if (has(FUSE_SET_ATTR_GID)) own.gid = wanted.st_gid;
  if (has(FUSE_SET_ATTR_SIZE)) own.modified = now;  // truncate(2) cuts nothing
  if (has(FUSE_SET_ATTR_ATIME)) own.accessed = from_timespec(wanted.st_atim);
  if (has(FUSE_SET_ATTR_MTIME)) own.modified = from_timespec(wanted.st_mtim);
  if (has(FUSE_SET_ATTR_ATIME_NOW)) own.accessed = now;
  if (has(FUSE_SET_ATTR_MTIME_NOW)) own.modified = now;
  own.changed = now;
}

void op_setattr(fuse_req_t request, fuse_ino_t ino, struct stat* wanted, int fields,
                fuse_file_info*) {
  FuseMount& mount = mount_of(request);
  const Node node = node_of(mount, ino);
  const bool resizes = (fields & FUSE_SET_ATTR_SIZE) != 0;
  if (resizes && wanted->st_size > kMaxFileBytes) return void(fuse_reply_err(request, EFBIG));
  if (node.group != nullptr) {
    apply(own_attributes(*node.group, node.file), *wanted, fields, mount.now());
    note_change(mount, node);
  }
  const struct stat stat = stat_of(node);
  fuse_reply_attr(request, &stat, kAttributesHoldSeconds);
}

/// xattr replies come in two shapes: the size alone, or the bytes if they fit.
void reply_xattr(fuse_req_t request, std::string_view bytes, std::size_t capacity) {
  if (capacity == 0) return void(fuse_reply_xattr(request, bytes.size()));
  if (bytes.size() > capacity) return void(fuse_reply_err(request, ERANGE));
  fuse_reply_buf(request, bytes.data(), bytes.size());
}

void op_setxattr(fuse_req_t request, fuse_ino_t ino, const char* name, const char* value,
                 std::size_t size, int flags) {
  const Node node = node_of(mount_of(request), ino);
  if (node.group == nullptr) return void(fuse_reply_err(request, ENODEV));
  XattrMode mode = XattrMode::kAny;
  if ((flags & XATTR_CREATE) != 0) mode = XattrMode::kCreate;
  if ((flags & XATTR_REPLACE) != 0) mode = XattrMode::kReplace;
  const auto set = set_xattr(own_attributes(*node.group, node.file), name, {value, size}, mode);
  if (set) note_change(mount_of(request), node);
  reply_status(request, set);
}

void op_getxattr(fuse_req_t request, fuse_ino_t ino, const char* name, std::size_t capacity) {
  const Node node = node_of(mount_of(request), ino);
  if (node.group == nullptr) return void(fuse_reply_err(request, ENODEV));
  const auto value = get_xattr(attributes(*node.group, node.file), name);
  if (!value) return void(fuse_reply_err(request, value.error().number));
  reply_xattr(request, value.value(), capacity);
}

void op_listxattr(fuse_req_t request, fuse_ino_t ino, std::size_t capacity) {
  const Node node = node_of(mount_of(request), ino);
  if (node.group == nullptr) return void(fuse_reply_err(request, ENODEV));
  const bool privileged = fuse_req_ctx(request)->uid == 0;
  reply_xattr(request, list_xattrs(attributes(*node.group, node.file), privileged), capacity);
}

void op_removexattr(fuse_req_t request, fuse_ino_t ino, const char* name) {
  const Node node = node_of(mount_of(request), ino);
  if (node.group == nullptr) return void(fuse_reply_err(request, ENODEV));
  const auto removed = remove_xattr(own_attributes(*node.group, node.file), name);
  if (removed) note_change(mount_of(request), node);
  reply_status(request, removed);
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops{};
  ops.init = op_init;
  ops.statfs = op_statfs;
  ops.lookup = op_lookup;
  ops.mkdir = op_mkdir;
  ops.rmdir = op_rmdir;
  ops.rename = op_rename;
  ops.unlink = op_unlink;
  ops.create = op_create;
  ops.mknod = op_mknod;
  ops.symlink = op_symlink;
  ops.link = op_link;
  ops.readdir = op_readdir;
  ops.open = op_open;
  ops.read = op_read;
  ops.write = op_write;
  ops.release = op_release;
  ops.poll = op_poll;
  ops.fsync = op_fsync;
  ops.fsyncdir = op_fsyncdir;
  ops.ioctl = op_ioctl;
  ops.getattr = op_getattr;
  ops.setattr = op_setattr;
  ops.setxattr = op_setxattr;
  ops.getxattr = op_getxattr;
  ops.listxattr = op_listxattr;
  ops.removexattr = op_removexattr;
  return ops;
}

bool is_news(FuseMount& mount, const Watch& watch) {
  const Node node = node_of(mount, static_cast<fuse_ino_t>(watch.node));
  return node.group == nullptr || node.file->news(mount.services, *node.group) != watch.polled;
}

}  // namespace

void tell_news(FuseMount& mount) {
  if (!mount.is_watched) return;
  bool somebody_waits = false;
  for (auto& [handle, watch] : mount.watches) {
    if (watch.waiter == nullptr) continue;
    if (is_news(mount, watch)) {
      fuse_lowlevel_notify_poll(watch.waiter.get());
      watch.waiter.reset();
    } else {
      somebody_waits = true;
    }
  }
  mount.is_watched = somebody_waits;
}

const fuse_lowlevel_ops& fuse_operations() {
  static const fuse_lowlevel_ops operations = make_operations();
  return operations;
}

}  // namespace blkio::cgroupfs
