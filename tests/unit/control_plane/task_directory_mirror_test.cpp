// SPDX-License-Identifier: MIT
// What only a mirror knows, when it is asked, and which groups have been left by all.
#include <catch2/catch.hpp>

#include "control_plane/task_directory.hpp"
#include "fake_system.hpp"

using namespace blkio;
using namespace blkio::control_plane;

namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};
constexpr Writer kRootUser{.tid = 1, .uid = 0};
constexpr auto kThread = TaskScope::kThread;
constexpr auto kProcess = TaskScope::kProcess;
using Tids = std::vector<pid_t>;
using Groups = std::vector<GroupId>;

/// A system with a shell (100) of a session leader (90).
template <bool kWithEvents, bool kWithMirror>
struct Fixture {
  Fixture() {
    system.fork(1, 90);
    system.fork(90, 100);
    system.events.clear();
    open();
  }
  /// A daemon, or the one after it.
  void open() {
    std::unique_ptr<TaskEvents> events;
    if (kWithEvents) events = std::make_unique<fake::Events>(system);
    std::unique_ptr<GroupMirror> mirror;
    if (kWithMirror) mirror = std::make_unique<fake::Mirror>(system);
    directory = std::make_unique<TaskDirectory>(std::make_unique<fake::Proc>(system),
                                                std::move(events), std::move(mirror));
    REQUIRE(directory->start());
  }
  GroupId group_of(pid_t tid) {
    Issuer issuer;
    directory->resolve(&tid, &issuer, 1);
    return issuer.usable ? issuer.group : GroupId{};
  }
  int attach(pid_t id, TaskScope scope, GroupId group) {
    const auto result = directory->attach(id, scope, group, kRootUser);
    return result ? 0 : result.error().number;
  }
  std::uint64_t inquiries() { return directory->health().inquiries; }
  Groups emptied() {
    return directory->take_emptied([](GroupId) { return true; }).groups;
  }

  fake::System system;
  std::unique_ptr<TaskDirectory> directory;
};

using Connector = Fixture<true, false>;
using ProcWalk = Fixture<false, false>;
using Mirrored = Fixture<true, true>;
using MirrorAlone = Fixture<false, true>;

}  // namespace

TEMPLATE_TEST_CASE("mirror: a new thread has the group of the thread that cloned it", "", Mirrored,
                   MirrorAlone) {
  TestType t;
  t.system.clone_thread(100, 110);
  REQUIRE(t.attach(110, kThread, kA) == 0);
  t.system.clone_thread(100, 111, 110);
  t.system.clone_thread(100, 112, 100);
  t.system.clone_thread(100, 113, 111);  // by one that nobody asked for yet
  CHECK(t.group_of(113) == kA);
  CHECK(t.group_of(111) == kA);
  CHECK(t.group_of(112) == GroupId::kRoot);
}

TEMPLATE_TEST_CASE("mirror: a child made with CLONE_PARENT has its maker's group", "", Mirrored,
                   MirrorAlone) {
  TestType t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kProcess, kA) == 0);
  t.system.fork_sibling(101, 102);  // its event names 100
  t.system.fork(102, 103);
  t.system.fork(100, 104);
  CHECK(t.group_of(103) == kA);
  CHECK(t.group_of(102) == kA);
  CHECK(t.group_of(104) == GroupId::kRoot);
}

TEST_CASE("mirror: nor is an ancestor taken at its word whose child's orphans it may have") {
  Mirrored t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kProcess, kA) == 0);
  t.system.fork(101, 102);
  t.system.end(101);                // 102 is init's child now
  t.system.fork_sibling(102, 103);  // its event names 1
  CHECK(t.group_of(103) == kA);
}

TEST_CASE("mirror: a process that was moved away from its children is not either") {
  Mirrored t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork_sibling(101, 102);  // its event names 100, which is in A
  CHECK(t.group_of(102) == GroupId::kRoot);
}

TEST_CASE("mirror: a thread that execs keeps its group, whoever else ends meanwhile") {
  Mirrored t;
  t.system.clone_thread(100, 110);
  t.system.clone_thread(100, 111);
  REQUIRE(t.attach(110, kThread, kA) == 0);
  REQUIRE(t.attach(111, kThread, kB) == 0);
  t.system.die(100);
  t.system.tasks[100] = t.system.tasks.at(110);
  t.system.reap(110);  // without an event: it lives on as 100
  t.system.reap(111);
  t.system.exec(100);
  CHECK(t.group_of(100) == kA);
}

TEST_CASE("mirror: who is born while the kernel moves its parent") {
  Mirrored t;
  t.system.clone_thread(100, 110);
  t.system.before_move = [&] {
    t.system.fork(100, 101);
    t.system.clone_thread(100, 111);
  };
  t.system.after_move = [&] {
    t.system.fork(100, 102);
    t.system.clone_thread(100, 112);
  };
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  CHECK(t.group_of(101) == GroupId::kRoot);
  CHECK(t.group_of(102) == kA);
  for (const pid_t thread : {100, 110, 111, 112}) CHECK(t.group_of(thread) == kA);
}

TEST_CASE("mirror: what the kernel refuses leaves everything as it was") {
  Mirrored t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.before_move = [&] { t.system.end(100); };
  CHECK(t.attach(100, kProcess, kB) == ESRCH);
  CHECK(t.directory->members(kB, kThread).empty());
  CHECK_FALSE(t.directory->has_tasks(kA));
}

TEST_CASE("mirror: a storm of children asks the kernel nothing") {
  Mirrored t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);  // it has no children yet
  for (pid_t child = 200; child < 300; ++child) {
    t.system.fork(100, child);
    t.system.clone_thread(child, child + 1000);
    CHECK(t.group_of(child + 1000) == kA);
    CHECK(t.group_of(child) == kA);
  }
  CHECK(t.inquiries() == 0);
}

TEST_CASE("mirror: a task in doubt is asked for once, and only if it issues something") {
  Mirrored t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kProcess, kA) == 0);  // 100 has children in two groups from now on
  for (pid_t child = 200; child < 300; ++child) t.system.fork(100, child);
  CHECK(t.inquiries() == 0);
  for (int i = 0; i < 3; ++i) CHECK(t.group_of(250) == GroupId::kRoot);
  CHECK(t.inquiries() == 1);
}

TEST_CASE("mirror: threads moved together are trusted again") {
  Mirrored t;
  t.system.clone_thread(100, 110);
  REQUIRE(t.attach(110, kThread, kA) == 0);
  t.system.clone_thread(100, 111);
  CHECK(t.group_of(111) == GroupId::kRoot);
  CHECK(t.inquiries() == 1);
  REQUIRE(t.attach(100, kProcess, kB) == 0);
  t.system.clone_thread(100, 112);
  CHECK(t.group_of(112) == kB);
  CHECK(t.inquiries() == 1);
}

TEST_CASE("mirror: lost events cost nothing but questions") {
  Mirrored t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.fork(101, 102);
  t.system.end(101);  // 102 is an orphan
  t.system.overrun();
  CHECK(t.group_of(102) == kA);
}

TEMPLATE_TEST_CASE("mirror: a new daemon finds everybody where they were", "", Mirrored,
                   MirrorAlone) {
  TestType t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.fork(90, 105);
  t.open();
  t.directory->adopt(kA);
  CHECK(t.group_of(101) == kA);
  CHECK(t.group_of(105) == GroupId::kRoot);
  t.system.fork(101, 102);
  CHECK(t.group_of(102) == kA);
  t.system.end(100);
  t.system.end(101);
  t.system.end(102);
  CHECK(t.directory->remove_group(kA));
}

TEST_CASE("mirror: a group is removed when the kernel says so") {
  Mirrored t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  CHECK(t.directory->remove_group(kA).error().number == EBUSY);
  t.system.fork(100, 101);
  t.system.end(100);
  t.system.tasks[101].group = GroupId::kRoot;  // somebody moved it behind our back
  CHECK(t.directory->remove_group(kA));
  CHECK(t.group_of(101) == GroupId::kRoot);
}

TEMPLATE_TEST_CASE("emptied: by the last exit, and told once", "", Connector, ProcWalk, Mirrored) {
  TestType t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  REQUIRE(t.attach(101, kProcess, kA) == 0);
  CHECK(t.emptied().empty());
  t.system.end(101);
  t.directory->has_tasks(kA);  // a look at the tasks, which the walk of /proc needs
  t.directory->drain();
  CHECK(t.emptied().empty());
  t.system.end(100);
  t.directory->has_tasks(kA);
  t.directory->drain();
  CHECK(t.emptied() == Groups{kA});
  CHECK(t.emptied().empty());
}

TEMPLATE_TEST_CASE("emptied: by a move", "", Connector, ProcWalk, Mirrored, MirrorAlone) {
  TestType t;
  int woken = 0;
  t.directory->on_departures([&] { ++woken; });
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  CHECK(woken == 0);
  REQUIRE(t.attach(100, kProcess, kB) == 0);
  CHECK(woken == 1);
  CHECK(t.emptied() == Groups{kA});
  REQUIRE(t.attach(100, kThread, GroupId::kRoot) == 0);
  CHECK(woken == 2);
  CHECK(t.emptied() == Groups{kB});
}

TEST_CASE("emptied: not what was occupied again, or removed, before anybody looked") {
  Connector t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  REQUIRE(t.attach(100, kProcess, kB) == 0);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  CHECK(t.emptied() == Groups{kB});
  REQUIRE(t.attach(100, kProcess, GroupId::kRoot) == 0);
  REQUIRE(t.directory->remove_group(kA));
  CHECK(t.emptied().empty());
}

TEST_CASE("emptied: by tasks that were in doubt to the end") {
  Mirrored t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kProcess, kA) == 0);
  t.system.fork_sibling(101, 102);  // in A, taken for one of the root group
  t.system.end(101);
  t.directory->drain();
  CHECK(t.emptied().empty());
  t.system.end(102);
  t.directory->drain();
  CHECK(t.emptied() == Groups{kA});
}
