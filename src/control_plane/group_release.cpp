// SPDX-License-Identifier: MIT
#include "group_release.hpp"

#include <boost/asio/post.hpp>
#include <chrono>

namespace blkio::control_plane {
namespace {

constexpr auto kLookAgainAfter = std::chrono::milliseconds(10);

}  // namespace

GroupRelease::GroupRelease(boost::asio::io_context& context, cgroupfs::GroupTree& tree,
                           TaskDirectory& tasks)
    : context_(context), again_(context), tree_(tree), tasks_(tasks) {}

GroupRelease::~GroupRelease() {
  tasks_.on_departures({});
  tree_.on_child_removed = {};
}

Result<void> GroupRelease::start() {
  BLKIO_TRY(agents_.start());
  tasks_.on_departures([this] { boost::asio::post(context_, [this] { look(); }); });
  tree_.on_child_removed = [this](GroupId parent) {
    if (tree_.wants_release(parent) && !tasks_.has_tasks(parent)) run_agent(parent);
  };
  return success();
}

void GroupRelease::look() {
  const auto emptied = tasks_.take_emptied([this](GroupId id) { return tree_.wants_release(id); });
  for (const GroupId group : emptied.groups) run_agent(group);
  if (!emptied.look_again) return;
  again_.expires_after(kLookAgainAfter);
  again_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look();
  });
}

void GroupRelease::run_agent(GroupId group) {
  if (tree_.release_agent.empty()) return;
  agents_.run(tree_.release_agent, tree_.path(*tree_.find(group)));
}

}  // namespace blkio::control_plane
