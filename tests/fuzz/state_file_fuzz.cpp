// SPDX-License-Identifier: MIT
// What keeps the groups over a restart. The input is a state file; and, because a random one has no
// right checksum, its lines are taken as records too.
#include "control_plane/state_file.hpp"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "control_plane/saved_state.hpp"
#include "fuzz/fuzz_target.hpp"

namespace blkio::fuzz {
namespace {

using control_plane::SavedState;
using control_plane::StateFile;
using nlohmann::json;

const std::string kName = "state";

/// What a record says once it was taken, a second record of it says again.
void check_kept(const SavedState& state) {
  for (const auto& [id, saved] : state.groups) {
    require(saved.group.id == id, "a group has the id it is found under");
    const json record = control_plane::group_record(saved.group);
    SavedState again;
    again.apply(json::parse(record.dump()));
    require(control_plane::group_record(again.groups.at(id).group) == record, "a group is kept");
    for (const auto& [device, counts] : saved.counts) {
      again.apply(json::parse(control_plane::counts_record(id, device, counts).dump()));
    }
    require(again.groups.at(id).counts.size() == saved.counts.size(), "counts are kept");
    for (std::size_t i = 0; i < saved.counts.size(); ++i) {
      const auto& [device, counts] = again.groups.at(id).counts[i];
      require(device == saved.counts[i].first && counts.print() == saved.counts[i].second.print(),
              "counts are kept as they were");
    }
  }
  for (const auto& [tid, task] : state.tasks) require(task.tid == tid, "a task has its id");
}

/// An ill-typed record throws, and no other harm is done.
void check_records(std::string_view text) {
  SavedState state;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto record = StateFile::parse_record(line);
    if (!record) continue;
    try {
      state.apply(*record);
    } catch (const std::exception&) {
      continue;
    }
  }
  check_kept(state);
}

void check_file(std::string_view text) {
  std::string lines;
  std::size_t count = 0;
  const auto read = StateFile::parse(text, kName, [&](const json& record) {
    lines += StateFile::line(record);
    ++count;
  });
  if (!read) {
    require(read.error().number == EBADMSG || read.error().number == EINVAL, "one of two errors");
    require(read.error().context.starts_with(kName + ": "), "the error names the file");
    return;
  }
  std::string copy = StateFile::line({{"blkio_state", 1}, {"lines", count}});
  copy += lines;
  std::size_t found = 0;
  require(StateFile::parse(copy, kName, [&](const json&) { ++found; }).has_value(),
          "a copy is read");
  require(found == count, "a copy has the same lines");
}

}  // namespace
}  // namespace blkio::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spdlog::set_level(spdlog::level::off);
  const std::string_view text = blkio::fuzz::text_of(data, size);
  blkio::fuzz::check_file(text);
  blkio::fuzz::check_records(text);
  return 0;
}
