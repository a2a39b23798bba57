// SPDX-License-Identifier: MIT
#include "control_plane/release_agents.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

using namespace blkio::control_plane;

namespace {

/// A directory with a program in it.
class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/blkio-agents.XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~Scratch() { std::filesystem::remove_all(directory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string program(const std::string& text) const {
    std::ofstream(path("agent")) << "#!/bin/sh\n" << text << '\n';
    ::chmod(path("agent").c_str(), 0755);
    return path("agent");
  }
  std::string text(const std::string& name) const {
    std::stringstream text;
    text << std::ifstream(path(name)).rdbuf();
    return text.str();
  }

 private:
  std::string directory_;
};

/// Programs of others take the time they take: polls, and fails the test after ten seconds.
template <class Condition>
void wait_until(Condition condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  REQUIRE(condition());
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("agents: one argument, two variables, the root directory, nothing of ours") {
  Scratch scratch;
  const std::string out = scratch.path("out");
  const std::string agent = scratch.program(
      "{ echo \"$# $1\"; env | sort; pwd; ls /proc/self/fd | wc "
      "-l; "
      "} > " +
      out + ".new; mv " + out + ".new " + out);
  ReleaseAgents agents;
  REQUIRE(agents.start());
  agents.run(agent, "/a/b c");
  wait_until([&] { return !scratch.text("out").empty(); });
  std::istringstream said(scratch.text("out"));
  std::string line;
  std::getline(said, line);
  CHECK(line == "1 /a/b c");
  std::getline(said, line);
  CHECK(line == "HOME=/");
  std::getline(said, line);
  // The shell may add its own PWD; what it was given ends here.
  CHECK(line == "PATH=/sbin:/bin:/usr/sbin:/usr/bin");
  CHECK(scratch.text("out").find("\n/\n") != std::string::npos);
  CHECK(scratch.text("out").ends_with("\n4\n"));  // 0, 1, 2 and ls's own
}

TEST_CASE("agents: what cannot run disturbs nobody") {
  Scratch scratch;
  const std::string agent = scratch.program("echo $1 >> " + scratch.path("out"));
  std::ofstream(scratch.path("text")) << "no program\n";
  ReleaseAgents agents;
  REQUIRE(agents.start());
  agents.run(scratch.path("missing"), "/a");
  agents.run(scratch.path("text"), "/a");
  agents.run("/", "/a");
  agents.run(agent, "/b");
  wait_until([&] { return scratch.text("out") == "/b\n"; });
}

TEST_CASE("agents: many wait for a place, all come to it, none is waited for at the end") {
  Scratch scratch;
  const std::string agent =
      scratch.program("echo $1 >> " + scratch.path("out") + "; [ $1 = /last ] && exec sleep 5");
  constexpr std::size_t kGroups = 5 * ReleaseAgents::kMaxRunning;
  std::chrono::steady_clock::time_point stop;
  {
    ReleaseAgents agents;
    REQUIRE(agents.start());
    for (std::size_t i = 0; i < kGroups; ++i) agents.run(agent, "/" + std::to_string(i));
    wait_until([&] { return lines(scratch.text("out")) == kGroups; });
    agents.run(agent, "/last");
    wait_until([&] { return lines(scratch.text("out")) == kGroups + 1; });
    stop = std::chrono::steady_clock::now();
  }
  // The last one sleeps for 5 s.
  CHECK(std::chrono::steady_clock::now() - stop < std::chrono::seconds(3));
}

TEST_CASE("agents: who may name one") {
  CHECK(may_name_release_agent(::getpid(), ::geteuid()) == (::geteuid() == 0 || ::getuid() != 0));
  if (::geteuid() == 0) {
    CHECK_FALSE(may_name_release_agent(0, 0));  // of a foreign pid namespace
  } else {
    CHECK_FALSE(may_name_release_agent(::getpid(), 0));
  }
}
