// SPDX-License-Identifier: MIT
#include "control_plane/task_directory.hpp"

#include <catch2/catch.hpp>

#include "fake_system.hpp"

using namespace blkio;
using namespace blkio::control_plane;

namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};
constexpr Writer kRootUser{.tid = 1, .uid = 0};
using Tids = std::vector<pid_t>;

/// A system with a shell (100) whose directory has started.
struct Fixture {
  Fixture(bool with_events, bool with_mirror) {
    system.fork(1, 100);
    system.events.clear();
    std::unique_ptr<TaskEvents> events;
    if (with_events) events = std::make_unique<fake::Events>(system);
    std::unique_ptr<GroupMirror> mirror;
    if (with_mirror) mirror = std::make_unique<fake::Mirror>(system);
    directory = std::make_unique<TaskDirectory>(std::make_unique<fake::Proc>(system),
                                                std::move(events), std::move(mirror));
    REQUIRE(directory->start());
  }
  Issuer resolve(pid_t tid) {
    Issuer issuer;
    directory->resolve(&tid, &issuer, 1);
    return issuer;
  }
  int attach(pid_t id, TaskScope scope, GroupId group, Writer writer = kRootUser) {
    const auto result = directory->attach(id, scope, group, writer);
    return result ? 0 : result.error().number;
  }
  Tids tasks(GroupId group) { return directory->members(group, TaskScope::kThread); }
  Tids procs(GroupId group) { return directory->members(group, TaskScope::kProcess); }

  fake::System system;
  std::unique_ptr<TaskDirectory> directory;
};

struct WithEvents : Fixture {
  WithEvents() : Fixture(true, false) {}
};
struct WithoutEvents : Fixture {
  WithoutEvents() : Fixture(false, false) {}
};
struct Mirrored : Fixture {
  Mirrored() : Fixture(true, true) {}
};
struct MirroredWithoutEvents : Fixture {
  MirroredWithoutEvents() : Fixture(false, true) {}
};

constexpr auto kThread = TaskScope::kThread;
constexpr auto kProcess = TaskScope::kProcess;

}  // namespace

TEMPLATE_TEST_CASE("directory: a task nobody moved is in the root group", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  const Issuer issuer = t.resolve(100);
  CHECK(issuer.group == GroupId::kRoot);
  CHECK(issuer.tgid == 100);
  CHECK(issuer.usable);
  CHECK(t.tasks(GroupId::kRoot) == Tids{1, 2, 100});
  CHECK(t.tasks(kA).empty());
  CHECK_FALSE(t.directory->has_tasks(kA));
}

TEMPLATE_TEST_CASE("directory: ids that name nobody cannot be used", "", WithEvents, WithoutEvents,
                   Mirrored, MirroredWithoutEvents) {
  TestType t;
  CHECK_FALSE(t.resolve(0).usable);
  CHECK_FALSE(t.resolve(-1).usable);
  CHECK_FALSE(t.resolve(4711).usable);
  CHECK_FALSE(t.resolve(2).usable);  // a kernel thread
  CHECK(t.resolve(4711).tgid == 0);
}

TEMPLATE_TEST_CASE("directory: children inherit, earlier ones stay", "", WithEvents, WithoutEvents,
                   Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 102);
  t.system.fork(102, 103);
  CHECK(t.resolve(101).group == GroupId::kRoot);
  CHECK(t.resolve(103).group == kA);
  CHECK(t.resolve(102).group == kA);
  CHECK(t.tasks(kA) == Tids{100, 102, 103});
  CHECK(t.procs(kA) == Tids{100, 102, 103});
}

TEMPLATE_TEST_CASE("directory: a batch is resolved in its order", "", WithEvents, WithoutEvents,
                   Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kThread, kA) == 0);
  const pid_t tids[] = {101, 0, 100, 101};
  Issuer issuers[4];
  t.directory->resolve(tids, issuers, 4);
  CHECK(issuers[0].group == kA);
  CHECK_FALSE(issuers[1].usable);
  CHECK(issuers[2].group == GroupId::kRoot);
  CHECK(issuers[3].group == kA);
}

TEMPLATE_TEST_CASE("directory: tasks moves a thread, cgroup.procs its process", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.clone_thread(100, 110);
  t.system.clone_thread(100, 111);
  REQUIRE(t.attach(110, kThread, kA) == 0);
  CHECK(t.tasks(kA) == Tids{110});
  CHECK(t.procs(kA) == Tids{100});
  CHECK(t.resolve(110).group == kA);
  CHECK(t.resolve(110).tgid == 100);
  REQUIRE(t.attach(111, kProcess, kB) == 0);
  CHECK(t.tasks(kB) == Tids{100, 110, 111});
  CHECK(t.procs(kB) == Tids{100});
  CHECK(t.tasks(kA).empty());
}

TEMPLATE_TEST_CASE("directory: 0 is the writer: its thread, or its process", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.clone_thread(100, 110);
  REQUIRE(t.attach(0, kThread, kA, {.tid = 110, .uid = 0}) == 0);
  CHECK(t.tasks(kA) == Tids{110});
  REQUIRE(t.attach(0, kProcess, kA, {.tid = 110, .uid = 0}) == 0);
  CHECK(t.tasks(kA) == Tids{100, 110});
  CHECK(t.attach(0, kThread, kA, {.tid = 0, .uid = 0}) == ESRCH);  // a foreign pid namespace
}

TEMPLATE_TEST_CASE("directory: who may not be moved", "", WithEvents, WithoutEvents, Mirrored,
                   MirroredWithoutEvents) {
  TestType t;
  t.system.tasks[50] = {.tgid = 50, .ppid = 2, .flags = kPfKthread | kPfNoSetAffinity};
  t.system.tasks[51] = {.tgid = 51, .ppid = 2, .flags = kPfKthread};
  CHECK(t.attach(4711, kThread, kA) == ESRCH);
  CHECK(t.attach(4711, kProcess, kA) == ESRCH);
  CHECK(t.attach(2, kThread, kA) == EINVAL);
  CHECK(t.attach(50, kProcess, kA) == EINVAL);
  CHECK(t.tasks(kA).empty());
  // EINVAL comes before the question of who asks.
  CHECK(t.attach(50, kThread, kA, {.tid = 100, .uid = 33}) == EINVAL);
  // Other kernel threads move, and what they issue is theirs from then on.
  CHECK_FALSE(t.resolve(51).usable);
  CHECK(t.attach(51, kThread, kA) == 0);
  CHECK(t.resolve(51).usable);
  CHECK(t.resolve(51).group == kA);
}

TEMPLATE_TEST_CASE("directory: who may move", "", WithEvents, WithoutEvents, Mirrored,
                   MirroredWithoutEvents) {
  TestType t;
  t.system.tasks[100].uid = 1000;
  t.system.tasks[100].saved_uid = 1001;
  CHECK(t.attach(100, kThread, kA, {.tid = 1, .uid = 33}) == EACCES);
  CHECK(t.attach(100, kProcess, kA, {.tid = 1, .uid = 33}) == EACCES);
  CHECK(t.tasks(kA).empty());
  CHECK(t.attach(100, kThread, kA, {.tid = 1, .uid = 1000}) == 0);
  CHECK(t.attach(100, kThread, kB, {.tid = 1, .uid = 1001}) == 0);
  CHECK(t.attach(100, kThread, kA, {.tid = 1, .uid = 0}) == 0);
}

TEMPLATE_TEST_CASE("directory: a zombie is no member, yet writing its id succeeds", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.die(100);
  CHECK(t.tasks(kA).empty());
  CHECK_FALSE(t.directory->has_tasks(kA));
  CHECK(t.attach(100, kThread, kA) == 0);
  CHECK(t.attach(100, kProcess, kA) == 0);
  CHECK(t.tasks(kA).empty());
  t.system.reap(100);
  CHECK(t.attach(100, kProcess, kA) == ESRCH);
}

TEMPLATE_TEST_CASE("directory: a process whose leader is a zombie moves", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.clone_thread(100, 110);
  REQUIRE(t.resolve(110).usable);
  t.system.die(100);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  CHECK(t.tasks(kA) == Tids{110});
  CHECK(t.procs(kA) == Tids{100});
  t.system.clone_thread(100, 111);
  CHECK(t.resolve(111).group == kA);
}

TEMPLATE_TEST_CASE("directory: an exit counts before its event comes", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.end(100);
  const auto late = t.system.events;
  t.system.events.clear();
  CHECK(t.tasks(kA).empty());
  CHECK_FALSE(t.directory->has_tasks(kA));
  t.system.events = late;
  t.directory->drain();
  CHECK_FALSE(t.directory->has_tasks(kA));
}

TEST_CASE("directory: the threads of a process that has ended are gone before their events come") {
  WithEvents t;
  for (pid_t tid = 110; tid < 120; ++tid) t.system.clone_thread(100, tid);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  REQUIRE(t.tasks(kA).size() == 11);
  for (pid_t tid = 110; tid < 120; ++tid) t.system.end(tid);
  t.system.end(100);
  t.system.events.clear();
  CHECK(t.tasks(kA).empty());
  CHECK_FALSE(t.directory->has_tasks(kA));
}

// Reading /proc takes microseconds for each, and a process may have tens of thousands of threads.
TEST_CASE("directory: a listing looks at the threads one by one only when their leader is dead") {
  WithEvents t;
  for (pid_t tid = 110; tid < 120; ++tid) t.system.clone_thread(100, tid);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.stats_read = 0;
  CHECK(t.tasks(kA).size() == 11);
  CHECK(t.system.stats_read == 1);
  t.system.die(100);
  t.system.end(110);
  t.system.events.clear();
  t.system.stats_read = 0;
  CHECK(t.tasks(kA).size() == 9);
  CHECK(t.system.stats_read == 11);  // the leader, and each thread but the leader once more
}

TEMPLATE_TEST_CASE("directory: an id used again belongs to the new task", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kThread, kA) == 0);
  REQUIRE(t.resolve(101).group == kA);
  t.system.end(101);
  t.system.fork(100, 101);
  CHECK(t.resolve(101).group == GroupId::kRoot);
  CHECK(t.tasks(kA).empty());
}

TEMPLATE_TEST_CASE("directory: threads cloned between the listing and the move are not lost", "",
                   WithEvents, WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  t.system.clone_thread(100, 110);
  pid_t next = 111;
  t.system.after_threads = [&] {
    if (next < 120) t.system.clone_thread(100, next++);
  };
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.after_threads = [] {};
  for (const auto& [tid, task] : t.system.tasks) {
    INFO(tid);
    CHECK(t.resolve(tid).group == (task.tgid == 100 ? kA : GroupId::kRoot));
  }
}

// With a mirror nobody lists: the kernel moves the process at one stroke.
TEMPLATE_TEST_CASE("directory: an id of the listing that became another process's thread stays", "",
                   WithEvents, WithoutEvents) {
  TestType t;
  t.system.clone_thread(100, 110);
  t.system.fork(1, 200);
  t.system.after_threads = [&, done = false]() mutable {
    if (std::exchange(done, true)) return;
    t.system.end(110);
    t.system.clone_thread(200, 110);
  };
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.after_threads = [] {};
  CHECK(t.tasks(kA) == Tids{100});
  CHECK(t.resolve(110).group == GroupId::kRoot);
  CHECK(t.resolve(110).tgid == 200);
}

TEMPLATE_TEST_CASE("directory: a want of descriptors is not taken for death", "", WithEvents,
                   WithoutEvents, Mirrored, MirroredWithoutEvents) {
  TestType t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.error = EMFILE;
  CHECK(t.attach(100, kProcess, kB) == EMFILE);
  CHECK(t.directory->has_tasks(kA));
  CHECK(t.tasks(kA) == Tids{100});
  CHECK(t.resolve(100).group == kA);
  t.system.error = 0;
  CHECK(t.tasks(kA) == Tids{100});
}

TEST_CASE("directory: a child forked before a move does not follow its parent") {
  WithEvents t;
  t.system.fork(100, 101);  // its event waits when the move begins
  REQUIRE(t.attach(100, kThread, kA) == 0);
  t.system.end(101);  // it cannot be asked afterwards
  t.system.events.pop_back();
  t.system.fork(1, 102);
  CHECK(t.tasks(kA) == Tids{100});
  t.system.tasks[101] = {.tgid = 101, .ppid = 100};
  CHECK(t.resolve(101).group == GroupId::kRoot);
}

TEST_CASE("directory: a grandchild is known even when its parent is gone") {
  WithEvents t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.fork(101, 102);
  t.system.end(101);
  CHECK(t.resolve(102).group == kA);
  CHECK(t.tasks(kA) == Tids{100, 102});
}

TEST_CASE("directory: a thread that execs takes its group to the leader's id") {
  WithEvents t;
  t.system.clone_thread(100, 110);
  REQUIRE(t.attach(110, kThread, kB) == 0);
  t.system.die(100);
  t.system.tasks[100] = t.system.tasks.at(110);
  t.system.reap(110);  // without an event: it lives on as 100
  t.system.exec(100);
  CHECK(t.tasks(kB) == Tids{100});
  CHECK(t.resolve(100).group == kB);
}

TEST_CASE("directory: an exit read after the exec of the same id is the old leader's") {
  WithEvents t;
  t.system.clone_thread(100, 110);
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.reap(110);
  t.system.exec(100);
  t.system.queue({TaskEvent::Kind::kExit, 100, 100, 0});
  CHECK(t.tasks(kA) == Tids{100});
  t.system.end(100);
  CHECK(t.tasks(kA).empty());
}

TEST_CASE("directory: lost events are made up for from /proc") {
  WithEvents t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kThread, kB) == 0);
  t.system.fork(100, 102);
  t.system.fork(102, 103);
  t.system.clone_thread(100, 110);
  t.system.fork(101, 104);
  t.system.end(101);
  t.system.overrun();
  t.system.fork(102, 105);  // and one whose event came through
  CHECK(t.tasks(kA) == Tids{100, 102, 103, 105, 110});
  CHECK(t.tasks(kB).empty());
  CHECK(t.resolve(104).group == GroupId::kRoot);  // an orphan; only the lost events knew
  CHECK(t.directory->health().overruns == 1);
  CHECK(t.directory->health().scans == 2);
  t.tasks(kA);
  CHECK(t.directory->health().scans == 2);
}

TEST_CASE("directory: a scan after lost events notices ids used again") {
  WithEvents t;
  t.system.fork(100, 101);
  REQUIRE(t.attach(101, kThread, kA) == 0);
  t.system.overrun();
  CHECK(t.tasks(kA) == Tids{101});  // its start time is known from here on
  t.system.end(101);
  t.system.fork(100, 101);
  t.system.overrun();
  CHECK(t.tasks(kA).empty());
  CHECK(t.resolve(101).group == GroupId::kRoot);
}

TEST_CASE("directory: a scan that fails is made up for later") {
  WithEvents t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.overrun();
  t.system.error = EMFILE;
  CHECK(t.tasks(kA) == Tids{100});
  t.system.error = 0;
  CHECK(t.tasks(kA) == Tids{100, 101});
}

TEST_CASE("directory: forks and exits during a scan are not lost") {
  WithEvents t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.overrun();
  t.system.after_processes = [&, done = false]() mutable {
    if (std::exchange(done, true)) return;
    t.system.fork(100, 102);
    t.system.end(101);
  };
  t.directory->drain();
  CHECK(t.tasks(kA) == Tids{100, 102});
}

TEST_CASE("directory: while all are in the root group the events may wait") {
  WithEvents t;
  t.system.fork(100, 101);
  CHECK(t.resolve(101).usable);  // from /proc
  CHECK(t.system.events.size() == 1);
  t.directory->drain();
  CHECK(t.system.events.empty());
  CHECK(t.tasks(GroupId::kRoot) == Tids{1, 2, 100, 101});
}

TEST_CASE("directory: a task found before its event is read keeps its move") {
  WithEvents t;
  t.system.fork(100, 101);
  const auto late = t.system.events;
  t.system.events.clear();
  REQUIRE(t.attach(101, kThread, kA) == 0);
  t.system.events = late;
  CHECK(t.tasks(kA) == Tids{101});
}

TEST_CASE("directory: without events an orphan is seen if it was there at a listing") {
  WithoutEvents t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.fork(101, 102);
  t.system.fork(101, 103);
  CHECK(t.tasks(kA) == Tids{100, 101, 102, 103});
  t.system.end(101);
  CHECK(t.resolve(102).group == kA);
  t.system.fork(100, 104);
  t.system.fork(104, 105);
  t.system.end(104);
  CHECK(t.resolve(105).group == GroupId::kRoot);  // it cannot know: 105 looks like init's child
}

TEST_CASE("directory: without events a young parent is not believed") {
  WithoutEvents t;
  REQUIRE(t.attach(100, kProcess, kA) == 0);
  t.system.fork(100, 101);
  t.system.end(100);
  t.system.fork(1, 100);  // the id again, younger than 101
  REQUIRE(t.attach(100, kProcess, kB) == 0);
  t.system.tasks[101].ppid = 100;
  t.system.tasks[105] = {.tgid = 105, .ppid = 120, .start = 50};
  t.system.tasks[120] = {.tgid = 120, .ppid = 100, .start = ++t.system.clock};
  CHECK(t.resolve(105).group == GroupId::kRoot);
  CHECK(t.resolve(120).group == kB);
}
