// SPDX-License-Identifier: MIT
// The FUSE edge of the cgroup mount, over a socket pair. The input is a conversation: one request a
// line, whose headers, lengths and NULs are put right here, for libfuse trusts the kernel with
// those. README.md tells the lines.
#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgroupfs/fuse_session.hpp"
#include "cgroupfs/node.hpp"
#include "fuzz/fuzz_target.hpp"
#include "unit/cgroupfs/cgroup_fixture.hpp"
#include "unit/cgroupfs/fuse_client.hpp"

namespace blkio::fuzz {
namespace {

using namespace blkio::cgroupfs;
using namespace std::string_view_literals;
using test::bytes_of;
using test::FuseReply;

constexpr int kMostRequests = 100;
constexpr std::size_t kLongestName = 255;      // FUSE_NAME_MAX is 1024, but lookup(2) stops here
constexpr std::size_t kMostPadding = 5000;     // above the longest write a cgroup file takes
constexpr std::uint32_t kLongestRead = 65536;  // max_pages of a connection bounds it too

/// The words of a line, from its front to its back.
class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {}

  std::string_view word() { return take_until(text_, ' '); }
  /// Hexadecimal; 0 if there is none.
  std::uint64_t number() {
    const std::string_view digits = word();
    std::uint64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return value;
  }
  std::uint32_t number32() { return static_cast<std::uint32_t>(number()); }
  /// A name as the kernel hands one over: no slash, not empty, not too long. With its NUL.
  std::string name() {
    std::string name(word().substr(0, kLongestName));
    for (char& c : name) {
      if (c == '/' || c == '\0') c = '_';
    }
    if (name.empty() || name == "." || name == "..") name = "x";
    return name + '\0';
  }
  /// All that is left; `\n`, `\0` and `\\` as in C.
  std::string rest() {
    std::string unescaped;
    for (std::size_t i = 0; i < text_.size(); ++i) {
      const char next = text_[i] == '\\' && i + 1 < text_.size() ? text_[i + 1] : ' ';
      const std::size_t found = "n0\\"sv.find(next);
      unescaped += found == std::string_view::npos ? text_[i] : "\n\0\\"sv[found];
      if (found != std::string_view::npos) ++i;
    }
    return unescaped;
  }

 private:
  std::string_view text_;
};

class Conversation {
 public:
  explicit Conversation(Dialect dialect) : cgroup_(dialect) {
    for (const auto& [tid, tgid] : {std::pair{10, 10}, {11, 10}, {20, 20}}) {
      cgroup_.membership.add_thread(tid, tgid);
    }
    session_ =
        FuseSession::open(client_.daemon_end(), cgroup_.services, [this] { return now_; }).value();
    client_.serve_by(*session_);
    require(client_.init().error == 0, "the session begins");
    state_ = state();
  }

  void request(std::string_view text) {
    now_ += kSecondNs;
    Line line(text);
    const FuseReply reply = dispatch(line.word(), line);
    State now = state();
    require(!client_.has_reply(), "a request has one reply");
    require(reply.error >= 0 && reply.error < 4096, "an error is an errno");
    require(reply.error == 0 || reply.body.empty(), "an error has no body");
    require(reply.error == 0 || now == state_, "a refused request changes nothing");
    state_ = std::move(now);
    check_tree();
  }

 private:
  using State = std::map<std::string, std::string>;  ///< what each file says

  FuseReply dispatch(std::string_view verb, Line& line) {
    if (verb == "as") return become(line);
    const std::uint64_t node = this->node(line);
    if (verb == "lookup") return remember_node(client_.call(FUSE_LOOKUP, node, {line.name()}));
    if (verb == "mkdir") return mkdir(node, line);
    if (verb == "rmdir") return client_.call(FUSE_RMDIR, node, {line.name()});
    if (verb == "rename") return rename(node, line);
    if (verb == "open") return remember_handle(client_.open(node, line.number32()));
    if (verb == "read") return read(node, line);
    if (verb == "write") return write(node, line);
    if (verb == "release") return client_.release(node, handle(line));
    if (verb == "readdir") return readdir(node, line);
    if (verb == "setattr") return setattr(node, line);
    if (verb == "setxattr") return setxattr(node, line);
    if (verb == "getxattr") return getxattr(FUSE_GETXATTR, node, line);
    if (verb == "listxattr") return getxattr(FUSE_LISTXATTR, node, line);
    if (verb == "removexattr") return client_.call(FUSE_REMOVEXATTR, node, {line.name()});
    if (verb == "raw") return raw(node, line);
    const fuse_getattr_in in{};
    return client_.call(FUSE_GETATTR, node, {bytes_of(in)});
  }

  // --- who, where
  FuseReply become(Line& line) {
    client_.tid = line.number32();
    client_.uid = line.number32();
    return client_.call(FUSE_STATFS, FUSE_ROOT_ID);
  }
  /// `=ID` is that node id, a number one of those seen, the root first.
  std::uint64_t node(Line& line) { return resolve(line, nodes_); }
  std::uint64_t handle(Line& line) { return resolve(line, handles_); }
  static std::uint64_t resolve(Line& line, const std::vector<std::uint64_t>& seen) {
    const std::string_view word = line.word();
    if (word.starts_with('=')) return Line(word.substr(1)).number();
    return seen[Line(word).number() % seen.size()];
  }
  FuseReply remember_node(FuseReply reply) {
    if (reply.error == 0) nodes_.push_back(reply.as<fuse_entry_out>().nodeid);
    return reply;
  }
  FuseReply remember_handle(FuseReply reply) {
    if (reply.error == 0) handles_.push_back(reply.as<fuse_open_out>().fh);
    return reply;
  }

  // --- requests of more than a line
  FuseReply mkdir(std::uint64_t node, Line& line) {
    const std::string name = line.name();
    fuse_mkdir_in in{};
    in.mode = line.number32();
    return remember_node(client_.call(FUSE_MKDIR, node, {bytes_of(in), name}));
  }
  FuseReply rename(std::uint64_t node, Line& line) {
    const std::string name = line.name();
    fuse_rename2_in in{};
    in.newdir = this->node(line);
    const std::string new_name = line.name();
    in.flags = line.number32();
    return client_.call(FUSE_RENAME2, node, {bytes_of(in), name, new_name});
  }
  FuseReply read(std::uint64_t node, Line& line) {
    const std::uint64_t file = handle(line);
    const std::uint64_t offset = line.number();
    const std::uint32_t size = line.number32() % kLongestRead;
    FuseReply reply = client_.read(node, file, offset, size);
    require(reply.body.size() <= size, "a read gives no more than was asked for");
    return reply;
  }
  FuseReply write(std::uint64_t node, Line& line) {
    const std::uint64_t file = handle(line);
    const std::size_t padding = line.number() % kMostPadding;
    const std::string text = line.rest() + std::string(padding, ' ');
    FuseReply reply = client_.write(node, file, text);
    if (reply.error == 0) {
      require(reply.as<fuse_write_out>().size == text.size(), "a write is taken whole");
    }
    return reply;
  }
  FuseReply readdir(std::uint64_t node, Line& line) {
    fuse_read_in in{};
    in.offset = line.number();
    in.size = line.number32() % kLongestRead;
    FuseReply reply = client_.call(FUSE_READDIR, node, {bytes_of(in)});
    require(reply.body.size() <= in.size, "a page is no larger than was asked for");
    return reply;
  }
  FuseReply setattr(std::uint64_t node, Line& line) {
    fuse_setattr_in in{};
    in.valid = line.number32();
    in.mode = line.number32();
    in.uid = line.number32();
    in.gid = in.uid;
    in.mtime = line.number();
    in.atime = in.mtime;
    in.mtimensec = line.number32() % kSecondNs;
    FuseReply reply = client_.setattr(node, in);
    if (reply.error == 0) {
      const fuse_attr attr = reply.as<fuse_attr_out>().attr;
      require(attr.mtimensec < kSecondNs && attr.atimensec < kSecondNs, "a fraction is below 1 s");
    }
    return reply;
  }
  FuseReply setxattr(std::uint64_t node, Line& line) {
    const std::string name = line.name();
    fuse_setxattr_in in{};
    in.flags = line.number32();
    const std::string value = line.rest();
    in.size = static_cast<std::uint32_t>(value.size());
    // Without FUSE_SETXATTR_EXT the structure ends before its last two members.
    return client_.call(FUSE_SETXATTR, node,
                        {bytes_of(in).substr(0, FUSE_COMPAT_SETXATTR_IN_SIZE), name, value});
  }
  FuseReply getxattr(std::uint32_t opcode, std::uint64_t node, Line& line) {
    fuse_getxattr_in in{};
    in.size = line.number32() % kLongestRead;
    const std::string name = opcode == FUSE_GETXATTR ? line.name() : std::string();
    FuseReply reply = client_.call(opcode, node, {bytes_of(in), name});
    require(in.size == 0 || reply.body.size() <= in.size, "a value fits where it is asked for");
    return reply;
  }
  /// An operation nobody implements, or whose answer does not depend on what it carries.
  FuseReply raw(std::uint64_t node, Line& line) {
    static constexpr std::uint32_t kOpcodes[] = {
        FUSE_UNLINK, FUSE_SYMLINK, FUSE_LINK,     FUSE_MKNOD,     FUSE_CREATE, FUSE_ACCESS,
        FUSE_IOCTL,  FUSE_FSYNC,   FUSE_FSYNCDIR, FUSE_FALLOCATE, FUSE_POLL,   FUSE_LSEEK,
        FUSE_FLUSH,  FUSE_GETLK,   FUSE_BMAP,     FUSE_READLINK,  FUSE_OPENDIR};
    const std::uint32_t opcode = kOpcodes[line.number() % std::size(kOpcodes)];
    std::string body = line.rest();
    body.resize(std::max<std::size_t>(body.size(), 128));  // above the largest structure: NULs
    return client_.call(opcode, node, {body, "\0\0"sv});
  }

  // --- invariants
  /// Of all files but the statistics: a refused rule may add rows of zeros.
  State state() {
    State texts;
    GroupTree& tree = cgroup_.tree;
    tree.for_each_in_subtree(tree.root(), [&](const Group& group) {
      const std::string path = tree.path(group);
      for (const FileRow& file : all_files()) {
        if (!is_present(file, cgroup_.dialect, group.is_root()) || file.mode == 0444) continue;
        const auto text = show_file(cgroup_.services, group.id, file);
        texts[path + ":" + std::string(file.name)] = text ? text.value() : "unreadable";
      }
    });
    return texts;
  }
  void check_tree() {
    GroupTree& tree = cgroup_.tree;
    std::size_t reached = 0;
    tree.for_each_in_subtree(tree.root(), [&](const Group& group) {
      ++reached;
      require(tree.resolve(tree.path(group)) == &group, "a group is found by its path");
      require(cgroup_.controller.knows(group.id) || group.is_root(), "the engine knows a group");
      for (const GroupId child : group.children) {
        require(tree.find(child)->parent == group.id, "a child knows its parent");
      }
    });
    require(reached == tree.size(), "every group hangs in the tree");
  }

  test::CgroupFixture cgroup_;
  test::FuseClient client_;
  std::unique_ptr<FuseSession> session_;
  WallTimeNs now_ = 1000 * kSecondNs;
  State state_;
  std::vector<std::uint64_t> nodes_{FUSE_ROOT_ID};
  std::vector<std::uint64_t> handles_{0};
};

void converse(std::string_view input) {
  const bool doc = take_until(input, '\n') == "doc";
  Conversation conversation(doc ? Dialect::kDoc : Dialect::kKernel);
  for (int i = 0; i < kMostRequests && !input.empty(); ++i) {
    conversation.request(take_until(input, '\n'));
  }
}

}  // namespace
}  // namespace blkio::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  blkio::fuzz::converse(blkio::fuzz::text_of(data, size));
  return 0;
}
