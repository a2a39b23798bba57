// SPDX-License-Identifier: MIT
#include "group_map.hpp"

#include <catch2/catch.hpp>

using namespace blkio;
using data_plane::GroupMap;

namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};
constexpr GroupId kC{4};

/// / - a - b - c
struct Chain {
  stats::GroupStats root;
  stats::GroupStats a;
  stats::GroupStats b;
  stats::GroupStats c;
  GroupMap map{root};
  Chain() {
    map.group_added(kA, GroupId::kRoot, a);
    map.group_added(kB, kA, b);
    map.group_added(kC, kB, c);
  }
};

}  // namespace

TEST_CASE("a living group stands for itself") {
  Chain chain;
  CHECK(chain.map.living(kC) == kC);
  CHECK(chain.map.living(GroupId::kRoot) == GroupId::kRoot);
  CHECK(chain.map.parent(kC) == kB);
  CHECK(&chain.map.stats(kB) == &chain.b);
}

TEST_CASE("a removed group nobody holds is forgotten") {
  Chain chain;
  chain.map.group_removed(kC);
  CHECK(chain.map.size() == 3);
  CHECK(chain.map.living(kC) == GroupId::kRoot);
}

TEST_CASE("while a file is open its opener's nearest living ancestor stands for the group") {
  Chain chain;
  chain.map.handle_opened(kC);
  chain.map.handle_opened(kC);
  chain.map.group_removed(kC);
  CHECK(chain.map.living(kC) == kB);
  chain.map.group_removed(kB);
  CHECK(chain.map.living(kC) == kA);
  chain.map.handle_closed(kC);
  CHECK(chain.map.living(kC) == kA);
  chain.map.handle_closed(kC);
  // The tombstones of c and, kept for its sake, b are gone: the root and a are left.
  CHECK(chain.map.size() == 2);
}

TEST_CASE("a tombstone between holds on to nobody it does not need") {
  Chain chain;
  chain.map.handle_opened(kB);
  chain.map.group_removed(kC);
  chain.map.group_removed(kB);
  chain.map.group_removed(kA);
  CHECK(chain.map.living(kB) == GroupId::kRoot);
  CHECK(chain.map.size() == 3);
  chain.map.handle_closed(kB);
  CHECK(chain.map.size() == 1);
}

TEST_CASE("a file opened by a group that is not known any more is the root's") {
  Chain chain;
  chain.map.group_removed(kC);
  chain.map.handle_opened(kC);
  CHECK(chain.map.living(kC) == GroupId::kRoot);
  chain.map.handle_closed(kC);
  CHECK(chain.map.size() == 3);
}
