// SPDX-License-Identifier: MIT
#include "control_plane/state_file.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <boost/asio/executor_work_guard.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

namespace blkio::control_plane {
namespace {

using nlohmann::json;

struct Fixture {
  Fixture() {
    char name[] = "/tmp/blkio-state-XXXXXX";
    directory = ::mkdtemp(name);
    path = directory + "/state";
  }
  ~Fixture() { std::filesystem::remove_all(directory); }

  /// The "n" of each line.
  Result<std::vector<int>> lines() {
    std::vector<int> found;
    auto file = StateFile::open(
        context, path, [&](const json& line) { found.push_back(line.at("n").get<int>()); });
    if (!file) return file.error();
    return found;
  }
  std::unique_ptr<StateFile> open() {
    return StateFile::open(context, path, [](const json&) {}).value();
  }
  std::string text() const {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  void set_text(const std::string& text) const { std::ofstream(path, std::ios::binary) << text; }

  std::string directory;
  std::string path;
  boost::asio::io_context context;
};

std::string line(int n) {
  return StateFile::line({{"n", n}});
}

/// A snapshot of 1 and 2, then 3 and 4.
void write_four(Fixture& f) {
  auto file = f.open();
  REQUIRE(file->replace_now(line(1) + line(2), 2));
  REQUIRE(file->append(line(3)));
  REQUIRE(file->append(line(4)));
}

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "state file: none is an empty one, and none is made before it is asked for") {
  CHECK(lines().value().empty());
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE_METHOD(Fixture, "state file: what was written is read, in its order") {
  write_four(*this);
  CHECK(lines().value() == std::vector{1, 2, 3, 4});
  struct stat found {};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0600);
}

TEST_CASE_METHOD(Fixture, "state file: a snapshot takes the place of everything") {
  write_four(*this);
  REQUIRE(open()->replace_now(line(5), 1));
  CHECK(lines().value() == std::vector{5});
  CHECK_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_CASE_METHOD(Fixture,
                 "state file: what is appended while a snapshot is on its way is in both") {
  auto file = open();
  REQUIRE(file->replace_now(line(1), 1));
  REQUIRE(file->replace(line(2), 1));
  REQUIRE(file->replacing());
  REQUIRE(file->append(line(3)));
  const auto guard = boost::asio::make_work_guard(context);
  while (file->replacing()) context.run_one();
  REQUIRE(file->append(line(4)));
  file.reset();
  CHECK(lines().value() == std::vector{2, 3, 4});
}

TEST_CASE_METHOD(Fixture, "state file: a last line that was cut anywhere is ignored") {
  write_four(*this);
  const std::string whole = text();
  for (std::size_t cut = 1; cut <= line(4).size(); ++cut) {
    set_text(whole.substr(0, whole.size() - cut));
    CHECK(lines().value() == std::vector{1, 2, 3});
  }
}

TEST_CASE_METHOD(Fixture, "state file: a snapshot that was cut is damage") {
  write_four(*this);
  const std::string whole = text();
  const std::size_t appended = line(3).size() + line(4).size();
  for (std::size_t cut = appended + 1; cut < whole.size(); ++cut) {
    set_text(whole.substr(0, whole.size() - cut));
    CAPTURE(cut);
    const auto read = lines();
    REQUIRE_FALSE(read);
    CHECK(read.error().number == EBADMSG);
  }
}

TEST_CASE_METHOD(Fixture, "state file: any byte that changes before the last line is damage") {
  write_four(*this);
  const std::string whole = text();
  // Not the newline before the last line: without it the two are one last line.
  for (std::size_t at = 0; at < whole.size() - line(4).size() - 1; ++at) {
    std::string bad = whole;
    bad[at] = bad[at] == 'x' ? 'y' : 'x';
    set_text(bad);
    CAPTURE(at);
    const auto read = lines();
    REQUIRE_FALSE(read);
    CHECK(read.error().number == EBADMSG);
    CHECK(read.error().context.find(path + ": damaged, line ") == 0);
    CHECK(text() == bad);
  }
}

TEST_CASE_METHOD(Fixture, "state file: another version's, and what is none at all") {
  set_text(StateFile::line({{"blkio_state", 2}, {"lines", 0}}));
  CHECK(lines().error().number == EINVAL);
  set_text("not ours\n");
  CHECK(lines().error().number == EBADMSG);
}

TEST_CASE_METHOD(Fixture,
                 "state file: a line that makes no sense is damage, whatever its checksum") {
  REQUIRE(open()->replace_now(StateFile::line({{"n", "one"}}), 1));
  CHECK(lines().error().number == EBADMSG);
}

TEST_CASE_METHOD(Fixture, "state file: one daemon at a time") {
  auto file = open();
  REQUIRE(file->replace_now(line(1), 1));
  CHECK(lines().error().number == EBUSY);
  file.reset();
  CHECK(lines().value() == std::vector{1});
}

TEST_CASE_METHOD(Fixture, "state file: a full disk leaves no half line, and a snapshot mends it") {
  auto file = open();
  REQUIRE(file->replace_now(line(1), 1));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit full{file->bytes() + 5, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  CHECK(file->append(line(2)).error().number == EFBIG);
  CHECK_FALSE(file->whole());
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK_FALSE(file->append(line(3)));
  file.reset();
  CHECK(lines().value() == std::vector{1});
  file = open();
  REQUIRE(file->replace_now(line(4), 1));
  CHECK(file->whole());
  CHECK(file->append(line(5)));
  file.reset();
  CHECK(lines().value() == std::vector{4, 5});
}

}  // namespace blkio::control_plane
