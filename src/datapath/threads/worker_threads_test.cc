// A worker, a software NIC and control, each in its own thread, while packets flow: for the thread
// sanitizer and for faults that occur only between threads.
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <thread>

#include "support/ring_port.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::LoopbackPort;
using test::RingPort;
using test::SaOptions;

// One host whose wire leads back to itself, so that the SA that seals also opens.
class WorkerThreadsTest : public testing::Test {
 protected:
  struct Installed {
    SaPtr sa;
    std::vector<std::shared_ptr<SaBinding>> bindings;
  };

  WorkerThreadsTest() {
    auto wire = std::make_unique<LoopbackPort>("wire");
    wire_ = wire.get();
    guard_ = std::make_unique<WireSealGuard>(&path_, uint8_t{0}, 1u, &capture_.guard);
    nic_ = std::make_unique<SimNic>(
        "nic0", std::make_unique<GuardedPort>(std::move(wire), guard_.get(), &capture_), 1, &pools_,
        &capture_, SimNicOptions{.sa_limit = 8});
    path_.interfaces.push_back({.host = &host_,
                                .wire = nic_.get(),
                                .offload = nic_.get(),
                                .ifindex = 1,
                                .guard = guard_.get()});
    path_.SetHostAddresses({test::Addr("10.2.0.1"), test::Addr("192.0.2.2")});
    AddPolicies(100);
    worker_ = std::make_unique<Worker>(&path_, 0, &pools_, &engines_, &clock_);
  }

  void AddPolicies(uint32_t priority) {
    for (const PolicyDirection d : {PolicyDirection::kOut, PolicyDirection::kIn}) {
      policies_.push_back(path_.spd.Insert(
          test::MakePolicy(d, "10.1.0.0/16", "10.2.0.0/16", {test::TemplateFor({})},
                           PolicyAction::kAllow, priority),
          1));
    }
    path_.BumpGeneration();
  }

  void Install(uint32_t spi) {
    Installed item;
    item.sa = MakeSharedSa(test::MakeSpec({.spi = spi, .flags = kSaFlagEsn}), 1, spi);
    const PlacementDevice device{nic_.get(), PlacementMode::kAuto, 1};
    const bool offloaded = spi % 3 != 0;
    for (const Half half : kHalves) {
      auto bound = BindHalf(item.sa->spec(), half,
                            {.request = offloaded ? PlacementRequest{.mode = PlacementMode::kAuto,
                                                                     .by = RequestedBy::kDevice}
                                                  : PlacementRequest{},
                             .devices = {&device, 1u},
                             .engines = &engines_});
      ASSERT_TRUE(bound.has_value());
      item.bindings.push_back(bound->ReleaseNext());
    }
    item.sa->outbound()->binding = item.bindings[0].get();
    item.sa->inbound()->binding = item.bindings[1].get();
    path_.sad.Insert(item.sa);
    path_.BumpGeneration();
    for (const auto& binding : item.bindings) {
      if (binding->device() != nullptr) binding->device()->StartSa(binding->handle);
    }
    installed_.push_back(std::move(item));
  }

  // As control does: stop new packets, then free it when no worker can hold one.
  void RemoveOldest() {
    Installed item = std::move(installed_.front());
    installed_.pop_front();
    item.sa->set_state(SaState::kDead);
    path_.sad.Remove(item.sa);
    for (auto& binding : item.bindings) {
      if (binding->device() != nullptr) binding->device()->StopSa(binding->handle);
      path_.quiescence.Retire([binding] {
        if (binding->device() != nullptr) binding->device()->ReleaseSa(binding->handle);
      });
    }
    path_.BumpGeneration();
  }

  // Sends packets and receives those that come back, until stopped.
  void Feed() {
    PacketCaches caches(&pools_);
    const Bytes frame =
        test::Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, test::Pattern(100)));
    while (!stop_feeding_.load(std::memory_order_relaxed)) {
      for (int i = 0; i < 16; ++i) {
        Packet* packet = caches.small.Take();
        if (packet == nullptr) break;
        std::memcpy(packet->Append(static_cast<uint32_t>(frame.size())), frame.data(),
                    frame.size());
        if (!host_.Feed(packet)) {
          caches.Give(packet);
          break;
        }
      }
      while (Packet* packet = host_.Drain()) {
        ++delivered_;
        // All but the MAC addresses, which are the next hop's.
        if (packet->length != frame.size() ||
            std::memcmp(packet->data() + 12, frame.data() + 12, frame.size() - 12) != 0) {
          ++damaged_;
        }
        caches.Give(packet);
      }
      std::this_thread::yield();
    }
  }

  PacketPools pools_{2048, 4};
  SystemClock clock_;
  EngineSet engines_ = test::MakeEngines();
  RingPort host_{"host"};
  LoopbackPort* wire_ = nullptr;
  CapturePoints capture_;
  std::unique_ptr<WireSealGuard> guard_;  // outlives the NIC's thread, which outlives the data path
  std::unique_ptr<SimNic> nic_;
  DataPath path_{1};
  std::deque<Installed> installed_;
  std::vector<std::shared_ptr<Policy>> policies_;
  std::unique_ptr<Worker> worker_;
  std::atomic<bool> stop_feeding_{false};
  std::atomic<uint64_t> delivered_{0};
  std::atomic<uint64_t> damaged_{0};
};

TEST_F(WorkerThreadsTest, ControlChangesEverythingWhilePacketsFlow) {
  Install(0x1000);
  nic_->Start();
  worker_->Start();
  std::thread feeder([this] { Feed(); });
  std::mt19937 random(1);
  for (uint32_t round = 1; round <= 300; ++round) {
    Install(0x1000 + round);
    if (installed_.size() > 3) RemoveOldest();
    Sa& newest = *installed_.back().sa;
    newest.outbound()->next_hop.Set({2, 0, 0, 0, 0, 9}, 0);
    newest.UpdateLimits({.soft_packets = random() % 50});
    (void)newest.ExportReplay();
    (void)newest.lifetime().usage();
    (void)newest.stats();
    AddPolicies(static_cast<uint32_t>(10 + random() % 50));
    while (policies_.size() > 6) {
      path_.spd.Remove(policies_[2]);  // the first two stay, so that protection never lapses
      policies_.erase(policies_.begin() + 2);
      path_.BumpGeneration();
    }
    if (round % 40 == 0) nic_->SetOffloadUp(false);
    if (round % 40 == 10) nic_->SetOffloadUp(true);
    if (round % 25 == 5) (void)nic_->InjectFault("reset 1");
    if (round % 30 == 7) (void)nic_->InjectFault("fail-seal 20");
    (void)nic_->TakeErased();
    (void)nic_->KeyLog();
    if (round % 50 == 0) path_.SetHostAddresses({test::Addr("192.0.2.2"), test::Addr("10.2.0.1")});
    (void)nic_->offload_stats();
    (void)nic_->HeldSas();
    DataPathEvent event;
    while (path_.events[0]->Pop({&event, 1}) == 1) {
    }
    path_.quiescence.Collect();
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  stop_feeding_ = true;
  feeder.join();
  worker_->Stop();
  EXPECT_GT(delivered_, 100u);
  EXPECT_EQ(damaged_, 0u);
  EXPECT_GT(wire_->frames, 100u);
  EXPECT_EQ(wire_->not_esp, 0u);
  EXPECT_GT(nic_->offload_stats().sealed, 0u);
  EXPECT_GT(nic_->offload_stats().returned, 0u);
  const SealGuardStats guard = guard_->stats();
  EXPECT_GE(guard.frames_checked, wire_->frames);
  EXPECT_EQ(guard.clear_stopped + guard.unsealed_stopped + guard.engine_unsealed, 0u);
}

TEST_F(WorkerThreadsTest, EveryPacketIsInOnePlaceInTheEnd) {
  Install(0x1001);
  nic_->Start();
  worker_->Start();
  std::thread feeder([this] { Feed(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  stop_feeding_ = true;
  feeder.join();
  worker_->Stop();
  worker_.reset();
  nic_.reset();
  while (Packet* packet = host_.Drain()) test::FreePacket(packet);
  PacketBatch rest;
  PacketCaches caches(&pools_);
  DropCounters counters;
  DropSink sink(&caches, &counters);
  while (host_.Receive(0, &rest, &sink) > 0) {
    for (Packet* packet : rest.packets()) test::FreePacket(packet);
    rest.ReleaseAll();
  }
  EXPECT_EQ(pools_.small.Available(), 2048u);
  EXPECT_EQ(pools_.jumbo.Available(), 4u);
}

TEST_F(WorkerThreadsTest, SleepingThreadsWakeForTheNextPacket) {
  Install(0x1001);
  nic_->Start();
  worker_->Start();
  const Bytes frame =
      test::Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, test::Pattern(100)));
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // all are asleep
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(host_.Feed(test::MakePacket(&pools_, frame)));
    Packet* packet = nullptr;
    while ((packet = host_.Drain()) == nullptr) {
      ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
      std::this_thread::yield();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(400))
        << "woken only by a time-out";
    test::FreePacket(packet);
  }
}

}  // namespace
}  // namespace cygnet
