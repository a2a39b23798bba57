// SPDX-License-Identifier: MIT
#include "control_plane/proc_files.hpp"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

using namespace blkio::control_plane;

namespace {

// Fields 3..52 of a task: state S, parent 7, flags 4194560, started at tick 4242, ran last on
// CPU 1.
const std::string kRest =
    " S 7 7 7 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 1 0 4242 2568192 200 18446744073709551615 1 1 0 0 "
    "0 "
    "0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

}  // namespace

TEST_CASE("proc: stat of a plain task") {
  const auto stat = parse_stat("9 (sleep)" + kRest);
  REQUIRE(stat);
  CHECK(stat->state == 'S');
  CHECK(stat->ppid == 7);
  CHECK(stat->flags == 4194560);
  CHECK(stat->start_ticks == 4242);
  CHECK(stat->pending == 0);
  CHECK(stat->cpu == 1);
  CHECK_FALSE(stat->killed());
  CHECK_FALSE(stat->dead());
  CHECK_FALSE(stat->exiting());
  CHECK_FALSE(stat->kernel_thread());
}

TEST_CASE("proc: stat of a task whose name looks like the rest of the line") {
  for (const std::string name : {") R 1 1", "a b c", "((", "))", "x\n9 (y) Z 0", ""}) {
    INFO(name);
    const auto stat = parse_stat("9 (" + name + ")" + kRest);
    REQUIRE(stat);
    CHECK(stat->state == 'S');
    CHECK(stat->ppid == 7);
    CHECK(stat->start_ticks == 4242);
  }
}

TEST_CASE("proc: flags and states") {
  // 0x00200000 | 0x04000000 | 0x4 = 2097152 + 67108864 + 4
  const auto stat = parse_stat("2 (kthreadd) I 0 0 0 0 -1 69206020 0 0 0 0 0 0 0 0 20 0 1 0 1 0");
  REQUIRE(stat);
  CHECK(stat->kernel_thread());
  CHECK((stat->flags & kPfNoSetAffinity) != 0);
  CHECK(stat->exiting());
  CHECK_FALSE(stat->dead());
  std::string zombie = "9 (x)" + kRest;
  zombie.replace(zombie.find(" S "), 3, " Z ");
  CHECK(parse_stat(zombie)->dead());
  CHECK(parse_stat(zombie)->exiting());
}

TEST_CASE("proc: signals pending for the thread are field 31") {
  // Fields 23 to 30 are numbers of memory; SIGKILL is bit 8: 256. SIGALRM, bit 13, is 8192.
  const std::string head = "9 (x) D 7 7 7 0 -1 64 10 0 0 0 1 2 0 0 20 0 1 0 4242 1 2 3 4 5 6 7 8 ";
  CHECK(parse_stat(head + "256 0")->killed());
  CHECK(parse_stat(head + "8448 0")->killed());
  CHECK_FALSE(parse_stat(head + "8192 0")->killed());
  CHECK_FALSE(parse_stat(head)->killed());
}

TEST_CASE("proc: damaged stat is refused") {
  const std::string whole = "9 (sleep)" + kRest;
  CHECK_FALSE(parse_stat(""));
  CHECK_FALSE(parse_stat("9 (sleep"));
  CHECK_FALSE(parse_stat("9 (sleep) S x 7 7 0 -1 0 10 0 0 0 1 2 0 0 20 0 1 0 4242 1"));
  CHECK_FALSE(parse_stat("9 (sleep) S 7 7 7 0 -1 0 10 0 0 0 1 2 0 0 20 0 1 0 42x2 1"));
  // Cut before the end of field 22 means no start time.
  CHECK_FALSE(parse_stat(whole.substr(0, whole.find(" 4242"))));
}

TEST_CASE("proc: status") {
  const std::string text =
      "Name:\tTgid: 5\nUmask:\t0022\nState:\tS "
      "(sleeping)\nTgid:\t12\nNgid:\t0\nPid:\t13\nPPid:\t7\n"
      "TracerPid:\t0\nUid:\t1000\t0\t33\t0\nGid:\t0\t0\t0\t0\nGroups:\t1 2 3";
  const auto status = parse_status(text);
  REQUIRE(status);
  CHECK(status->tgid == 12);
  CHECK(status->uid == 1000);
  CHECK(status->saved_uid == 33);
  CHECK_FALSE(parse_status(""));
  CHECK_FALSE(parse_status(text.substr(0, text.find("Gid:\t0"))
                               .substr(0, text.find("Uid:") + 8)));  // the line of uids is cut
}

TEST_CASE("proc: the machine's own files") {
  auto proc = KernelProcFiles::open();
  REQUIRE(proc);
  const auto stat = proc.value().stat(::getpid());
  REQUIRE(stat);
  CHECK(stat.value().ppid == ::getppid());
  CHECK_FALSE(stat.value().kernel_thread());
  const auto status = proc.value().status(::getpid());
  REQUIRE(status);
  CHECK(status.value().tgid == ::getpid());
  CHECK(status.value().uid == ::getuid());

  std::thread([&] {
    const pid_t tid = ::gettid();
    CHECK(proc.value().status(tid).value().tgid == ::getpid());
    const auto threads = proc.value().threads(::getpid()).value();
    CHECK(std::find(threads.begin(), threads.end(), tid) != threads.end());
  }).join();
  const auto processes = proc.value().processes().value();
  CHECK(std::find(processes.begin(), processes.end(), ::getpid()) != processes.end());

  constexpr pid_t kBeyondPidMax = (1 << 22) + 1;
  CHECK(is_gone(proc.value().stat(kBeyondPidMax).error()));
  CHECK(is_gone(proc.value().status(kBeyondPidMax).error()));
  CHECK(is_gone(proc.value().threads(kBeyondPidMax).error()));
}
