// SPDX-License-Identifier: MIT
/// The engine as a whole: its thread, two devices, calls from the control thread, the end.
#include "data_plane/engine.hpp"

#include <spdlog/spdlog.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <thread>

#include "fake_kernel.hpp"
#include "memory_device.hpp"

using namespace blkio;
using namespace blkio::data_plane;
using test::FakeKernel;
using test::FuseReply;
using test::MemoryDevice;

namespace {

constexpr GroupId kSlow{2};
constexpr std::uint32_t kSlowThread = 200;
constexpr DeviceNumber kDisk{259, 0};
constexpr DeviceNumber kNull{1, 0};
constexpr int kPatienceMs = 10'000;

struct Issuers final : IssuerDirectory {
  void resolve(const pid_t* tids, Issuer* issuers, std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) {
      issuers[i] = {tids[i] == kSlowThread ? kSlow : GroupId::kRoot, tids[i], true};
    }
  }
};

struct World {
  World() {
    BackingDevice null = null_backing_device(1u << 20);
    null.number = kNull;
    EngineOptions options;
    options.issuers = &issuers;
    options.root_stats = &root_stats;
    options.process_gone = [](pid_t) { return false; };
    options.thread_killed = [](pid_t) { return false; };
    options.on_drained = [this] { drained.set_value(); };
    engine = std::make_unique<Engine>(
        std::vector<EngineDevice>{{disk.device(), disk_kernel.daemon_end(), &negotiated[0]},
                                  {null, null_kernel.daemon_end(), &negotiated[1]}},
        std::move(options));
    spdlog::set_level(spdlog::level::off);
  }
  void add_slow_group() {
    engine->call([&] {
      engine->groups().group_added(kSlow, GroupId::kRoot, slow_stats);
      engine->shard(kDisk)->queue().set_limit(kSlow, Limit::kReadBps, 1, engine->now());
    });
  }

  MemoryDevice disk{1u << 20};
  FakeKernel disk_kernel;
  FakeKernel null_kernel;
  Issuers issuers;
  Negotiated negotiated[2];
  stats::GroupStats root_stats;
  stats::GroupStats slow_stats;
  std::promise<void> drained;
  std::unique_ptr<Engine> engine;
};

}  // namespace

TEST_CASE("engine: serves its devices while it is told things") {
  World world;
  REQUIRE(world.engine->start());
  world.add_slow_group();
  std::atomic<bool> ended = false;
  std::thread client([&] {
    for (int i = 0; i < 300; ++i) {
      world.disk_kernel.write(static_cast<std::uint64_t>(i) * 100, std::string(100, 'x'));
      world.null_kernel.read(0, 4096);
      if (!world.disk_kernel.receive(kPatienceMs) || !world.null_kernel.receive(kPatienceMs)) break;
    }
    ended = true;
  });
  int calls = 0;
  int ran = 0;
  for (; !ended; ++calls) world.engine->call([&] { ++ran; });
  client.join();
  CHECK(ran == calls);
  CHECK(world.disk.content().substr(0, 30'001) == std::string(30'000, 'x') + '\0');
  const auto* stats = world.root_stats.find(kNull);
  REQUIRE(stats != nullptr);
  CHECK(stats->counters.own(Counter::kBfqIos).read == 300);
  CHECK(world.engine->shard({8, 0}) == nullptr);
}

TEST_CASE("engine: a stop fails what is held, tells when all is done, and ends") {
  World world;
  REQUIRE(world.engine->start());
  world.add_slow_group();
  world.disk_kernel.set_thread(kSlowThread);
  world.disk_kernel.read(0, 4096);  // takes the limit's credit
  CHECK(world.disk_kernel.receive(kPatienceMs));
  const auto held = world.disk_kernel.read(0, 4096);
  std::size_t waiting = 0;
  while (waiting == 0) world.engine->call([&] { waiting = world.engine->shard(kDisk)->held(); });
  world.engine->stop();
  const auto reply = world.disk_kernel.receive(kPatienceMs);
  REQUIRE(reply);
  CHECK(reply->unique == held);
  CHECK(reply->error == EIO);
  CHECK(world.drained.get_future().wait_for(std::chrono::milliseconds(kPatienceMs)) ==
        std::future_status::ready);
  world.engine->join();
}

TEST_CASE("engine: ends with requests held and connections open, if it must") {
  World world;
  REQUIRE(world.engine->start());
  world.add_slow_group();
  world.disk_kernel.set_thread(kSlowThread);
  for (int i = 0; i < 20; ++i) world.disk_kernel.read(0, 4096);
  CHECK(world.disk_kernel.receive(kPatienceMs));
  world.engine.reset();
}

TEST_CASE("engine: an idle one without devices stops too") {
  stats::GroupStats root;
  Issuers issuers;
  std::promise<void> drained;
  EngineOptions options;
  options.issuers = &issuers;
  options.root_stats = &root;
  options.on_drained = [&] { drained.set_value(); };
  Engine engine({}, std::move(options));
  REQUIRE(engine.start());
  engine.stop();
  drained.get_future().wait();
}

TEST_CASE("engine: a descriptor that is none keeps it from starting") {
  World world;
  EngineOptions options;
  options.issuers = &world.issuers;
  options.root_stats = &world.root_stats;
  Engine engine({{world.disk.device(), 12345, &world.negotiated[0]}}, std::move(options));
  const Result<void> started = engine.start();
  REQUIRE_FALSE(started);
  CHECK(started.error().number == EBADF);
}
