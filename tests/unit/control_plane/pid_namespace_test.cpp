// SPDX-License-Identifier: MIT
#include "control_plane/pid_namespace.hpp"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "unit/fake_membership.hpp"

using namespace blkio;
using namespace blkio::control_plane;

namespace {

constexpr GroupId kA{2};
constexpr auto kThread = TaskScope::kThread;

/// A process that is 1 in a namespace below ours, and its child there; the child has a namespace
/// below that where a grandchild is 1.
///
///     ours:      first    second           third
///     theirs:        1    second_there()   third_there()
///     the inner one:                       1
class Family {
 public:
  Family() {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    helper_ = ::fork();
    if (helper_ == 0) {
      if (::unshare(CLONE_NEWPID) != 0) ::_exit(1);
      int go[2];
      if (::pipe(go) != 0) ::_exit(1);
      const pid_t first = ::fork();
      if (first == 0) be_first(go[0], ends[1]);
      tell(ends[1], first);
      tell(go[1], 0);
      ::waitpid(first, nullptr, 0);
      ::_exit(0);
    }
    ::close(ends[1]);
    const bool told =
        ::read(ends[0], &first_, sizeof first_) == sizeof first_ &&
        ::read(ends[0], &second_there_, sizeof second_there_) == sizeof second_there_ &&
        ::read(ends[0], &third_there_, sizeof third_there_) == sizeof third_there_;
    ::close(ends[0]);
    if (!told) first_ = 0;
  }
  ~Family() {
    if (first_ > 0) ::kill(first_, SIGKILL);  // and with it its namespace
    ::waitpid(helper_, nullptr, 0);
  }
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;

  /// 0: this machine lets nobody make pid namespaces.
  pid_t first() const { return first_; }
  pid_t second_there() const { return second_there_; }
  pid_t third_there() const { return third_there_; }

 private:
  static void tell(int pipe, pid_t id) {
    if (::write(pipe, &id, sizeof id) != sizeof id) std::abort();
  }
  [[noreturn]] static void wait_for_ever() {
    for (;;) ::pause();
  }
  [[noreturn]] static void be_first(int go, int pipe) {
    pid_t word = 0;
    if (::read(go, &word, sizeof word) != sizeof word) ::_exit(1);
    const pid_t second = ::fork();
    if (second != 0) wait_for_ever();
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(1);
    const pid_t third = ::fork();
    if (third == 0) wait_for_ever();
    tell(pipe, ::getpid());
    tell(pipe, third);
    wait_for_ever();
  }

  pid_t helper_ = 0;
  pid_t first_ = 0;
  pid_t second_there_ = 0;
  pid_t third_there_ = 0;
};

}  // namespace

TEST_CASE("pid namespace: ids there and back, by the kernel's word and by the status files") {
  const auto method = GENERATE(PidNamespace::Method::kBest, PidNamespace::Method::kStatusFiles);
  const Family family;
  if (family.first() == 0) {
    WARN("skipped: no pid namespaces here");
    return;
  }
  auto opened = PidNamespace::of(family.first(), method);
  REQUIRE(opened);
  REQUIRE(opened.value());
  const PidNamespace& theirs = *opened.value();
  CHECK(theirs.from_ours(family.first()) == 1);
  CHECK(theirs.to_ours(1) == family.first());
  const pid_t second = theirs.to_ours(family.second_there());
  const pid_t third = theirs.to_ours(family.third_there());
  CHECK(theirs.from_ours(second) == family.second_there());
  CHECK(theirs.from_ours(third) == family.third_there());
  CHECK(theirs.to_ours(30000) == 0);
  CHECK(theirs.from_ours(::getpid()) == 0);
  CHECK(theirs.from_ours(1) == 0);

  auto inner = PidNamespace::of(third, method);
  REQUIRE(inner);
  REQUIRE(inner.value());
  CHECK(inner.value()->to_ours(1) == third);
  CHECK(inner.value()->from_ours(third) == 1);
  CHECK(inner.value()->from_ours(second) == 0);
}

TEST_CASE("pid namespace: our own needs no translation, and nobody's cannot be had") {
  CHECK_FALSE(PidNamespace::of(::getpid()).value());
  CHECK_FALSE(PidNamespace::of(4194305));  // above the highest pid_max
  test::FakeMembership ours;
  CHECK(membership_seen_by(ours, ::getpid()) == nullptr);
}

TEST_CASE("pid namespace: the membership as an opener sees it") {
  const Family family;
  if (family.first() == 0) {
    WARN("skipped: no pid namespaces here");
    return;
  }
  test::FakeMembership ours;
  ours.add_thread(family.first(), family.first());
  ours.add_thread(1, 1);
  const auto theirs = membership_seen_by(ours, family.first());
  REQUIRE(theirs != nullptr);
  CHECK(theirs->attach(1, kThread, kA, {.tid = family.first(), .uid = 0}));
  CHECK(ours.members(kA, kThread) == std::vector{family.first()});
  CHECK(theirs->members(kA, kThread) == std::vector<pid_t>{1});
  CHECK(theirs->members(GroupId::kRoot, kThread).empty());  // init of outside
  CHECK(theirs->attach(77, kThread, kA, {.tid = family.first(), .uid = 0}).error().number == ESRCH);
  CHECK(theirs->attach(0, kThread, GroupId::kRoot, {.tid = family.first(), .uid = 0}));
  CHECK(ours.members(kA, kThread).empty());
}

TEST_CASE("pid namespace: of an opener we cannot see, no id means anybody") {
  test::FakeMembership ours;
  ours.add_thread(1, 1);
  const auto theirs = membership_seen_by(ours, 0);
  REQUIRE(theirs != nullptr);
  CHECK(theirs->attach(1, kThread, kA, {.tid = 0, .uid = 0}).error().number == ESRCH);
  CHECK(theirs->attach(0, kThread, kA, {.tid = 0, .uid = 0}).error().number == ESRCH);
  CHECK(theirs->members(GroupId::kRoot, kThread).empty());
}
