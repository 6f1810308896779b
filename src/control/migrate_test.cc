// MIGRATE: what moves, what stays, and that both lives of an SA never use one number twice.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::Ip;
using test::MakePolicy;
using test::MakeSpec;
using test::SaOptions;
using test::TemplateFor;

class MigrateTest : public test::ControlPlaneTest {
 protected:
  MigrateTest() : ControlPlaneTest(8) {}

  static MigrateEntry Entry(const std::string& to_src = "192.0.2.3",
                            const std::string& to_dst = "192.0.2.4") {
    MigrateEntry entry;
    entry.old_saddr = Ip("192.0.2.1");
    entry.old_daddr = Ip("192.0.2.2");
    entry.new_saddr = Ip(to_src);
    entry.new_daddr = Ip(to_dst);
    entry.old_family = entry.new_family = IpFamily::kV4;
    entry.proto = kProtoEsp;
    entry.mode = static_cast<uint8_t>(SaMode::kTunnel);
    entry.reqid = Reqid(1);
    return entry;
  }
  static Migration Move(const MigrateEntry& entry = Entry()) {
    Migration migration;
    migration.selector = test::MakeSelector("10.1.0.1", "10.2.0.1");
    migration.entries = {entry};
    return migration;
  }
  void AddPolicyAndSa(SaSpec spec) {
    ASSERT_TRUE(control_
                    ->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                           {TemplateFor(SaOptions{})}),
                                {})
                    .has_value());
    ASSERT_TRUE(control_->AddSa(std::move(spec), {}).has_value());
    recorder_.Take();
  }
  ConstSaPtr At(const std::string& daddr, uint32_t spi = 0x100) {
    SaId id = IdOf(spi);
    id.daddr = Ip(daddr);
    const auto sa = control_->GetSa(id);
    return sa.has_value() ? *sa : nullptr;
  }
};

TEST_F(MigrateTest, MovesTheTemplateAndTheSa) {
  SaSpec spec = MakeSpec({.spi = 0x100, .encap = test::NatT()});
  spec.rare.Change()->replay_max_diff = 77;
  AddPolicyAndSa(std::move(spec));
  const auto before = control_->ListPolicies()[0];
  ASSERT_TRUE(control_->Migrate(Move()).has_value());
  EXPECT_EQ(recorder_.Take(), Events{"migrated"}) << "no DELSA, no NEWSA, as Linux";
  EXPECT_EQ(At("192.0.2.2"), nullptr);
  const auto sa = At("192.0.2.4");
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sa->spec().saddr, Ip("192.0.2.3"));
  EXPECT_EQ(sa->spec().aead.key, MakeSpec({.spi = 0x100}).aead.key);
  EXPECT_EQ(sa->spec().encap->dport, 4500);
  EXPECT_EQ(control_->GetAevent(sa->id())->max_diff, 77u);
  const auto policy = control_->ListPolicies()[0];
  EXPECT_EQ(policy.spec.index, before.spec.index);
  EXPECT_EQ(policy.spec.templates[0].daddr, Ip("192.0.2.4"));
  EXPECT_EQ(policy.spec.templates[0].saddr, Ip("192.0.2.3"));
  const FlowKey flow{.saddr = Ip("10.1.0.1"), .daddr = Ip("10.2.0.1"), .family = IpFamily::kV4};
  EXPECT_EQ(path_.spd.Lookup(PolicyDirection::kOut, flow, 0).at(0).daddr, Ip("192.0.2.4"));
}

TEST_F(MigrateTest, NumbersWindowUsageAndIvGoOn) {
  AddPolicyAndSa(MakeSpec({.spi = 0x100}));
  const auto old = At("192.0.2.2");
  EXPECT_EQ(old->outbound()->sequence.Reserve(41).count, 41u);
  for (const uint64_t seq : {3u, 9u, 7u}) (void)old->inbound()->replay.Commit(seq);
  ASSERT_TRUE(control_->Migrate(Move()).has_value());
  const auto sa = At("192.0.2.4");
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, 42u);
  EXPECT_EQ(sa->outbound()->iv_mask, old->outbound()->iv_mask);
  EXPECT_EQ(sa->inbound()->replay.Check(7), DropReason::kInReplayDuplicate);
  EXPECT_EQ(sa->inbound()->replay.Check(8), DropReason::kNone);
  EXPECT_EQ(sa->inbound()->replay.highest(), 9u);
  // A holder of the old SA gets no more numbers from it.
  EXPECT_EQ(old->outbound()->sequence.Reserve(1).count, 0u);
  EXPECT_EQ(old->inbound()->replay.Commit(8), DropReason::kInReplayOld);
  EXPECT_EQ(old->state(), SaState::kDead);
}

TEST_F(MigrateTest, WorkersNeverGetANumberTwice) {
  AddPolicyAndSa(MakeSpec({.spi = 0x100, .flags = kSaFlagEsn}));
  const FlowKey flow{.saddr = Ip("10.1.0.1"), .daddr = Ip("10.2.0.1"), .family = IpFamily::kV4};
  std::atomic<bool> stop{false};
  std::atomic<int> going{0};
  std::array<std::vector<uint64_t>, 2> got;
  std::vector<std::thread> workers;
  for (auto& mine : got) {
    Quiescence::Reader* reader = path_.quiescence.AddReader();
    workers.emplace_back([&, reader] {
      reader->Online();
      ++going;
      while (!stop.load()) {
        const PolicyMatch match = path_.spd.Lookup(PolicyDirection::kOut, flow, 0);
        const Template& tmpl = match.at(0);
        OutboundSa* sa = path_.sad.ResolveOutbound({.reqid = tmpl.reqid,
                                                    .mode = SaMode::kTunnel,
                                                    .proto = kProtoEsp,
                                                    .family = IpFamily::kV4,
                                                    .spi = Spi(0),
                                                    .daddr = tmpl.daddr,
                                                    .saddr = tmpl.saddr},
                                                   flow);
        if (sa != nullptr) {
          const SequenceRange range = sa->sequence.Reserve(4);
          for (uint32_t i = 0; i < range.count; ++i) mine.push_back(range.first + i);
        }
        reader->Quiescent();
      }
      reader->Offline();
    });
  }
  while (going.load() < 2) std::this_thread::yield();
  MigrateEntry there = Entry();
  MigrateEntry back = Entry("192.0.2.1", "192.0.2.2");
  back.old_saddr = Ip("192.0.2.3");
  back.old_daddr = Ip("192.0.2.4");
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(control_->Migrate(Move(i % 2 == 0 ? there : back)).has_value()) << i;
    path_.quiescence.Collect();
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  std::set<uint64_t> all;
  std::size_t count = 0;
  for (const auto& mine : got) {
    count += mine.size();
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_GT(count, 0u);
  EXPECT_EQ(all.size(), count);
}

TEST_F(MigrateTest, LeavesTheDeviceUnlessAsked) {
  AddPolicyAndSa(Offloaded(0x100));
  EXPECT_EQ(Where(0x100), "crypto requested");
  ASSERT_TRUE(control_->Migrate(Move()).has_value());
  EXPECT_FALSE(control_->Inspect(*At("192.0.2.4")).offload.has_value());
  Settle();
  EXPECT_EQ(nic_.HeldSas().size(), 0u);
}

TEST_F(MigrateTest, StaysOnTheDeviceWhereAsked) {
  AddPolicyAndSa(Offloaded(0x100));
  Migration migration = Move();
  migration.offload = OffloadRequest{OffloadMode::kCrypto, test::kNic0, false};
  ASSERT_TRUE(control_->Migrate(migration).has_value());
  EXPECT_TRUE(control_->Inspect(*At("192.0.2.4")).offload.has_value());
  Settle();
  EXPECT_EQ(nic_.HeldSas().size(), 1u);
}

TEST_F(MigrateTest, NothingMovesWhenTheNewPlaceIsTaken) {
  AddPolicyAndSa(MakeSpec({.spi = 0x100}));
  ASSERT_TRUE(control_->AddSa(MakeSpec({.dst = "192.0.2.4", .spi = 0x100}), {}).has_value());
  recorder_.Take();
  const Status status = control_->Migrate(Move());
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kNoData);
  EXPECT_TRUE(recorder_.events.empty());
  ASSERT_NE(At("192.0.2.2"), nullptr);
  EXPECT_EQ(At("192.0.2.2")->outbound()->sequence.Reserve(1).first, 1u) << "closed by mistake";
  EXPECT_EQ(control_->ListPolicies()[0].spec.templates[0].daddr, Ip("192.0.2.2"));
}

TEST_F(MigrateTest, WithoutPolicyOrTemplateSasStay) {
  ASSERT_TRUE(control_->AddSa(MakeSpec({.spi = 0x100}), {}).has_value());
  EXPECT_EQ(control_->Migrate(Move()).error().code, Errc::kNoEntry);
  ASSERT_TRUE(
      control_->AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16"), {})
          .has_value());
  EXPECT_EQ(control_->Migrate(Move()).error().code, Errc::kNoData);
  EXPECT_NE(At("192.0.2.2"), nullptr);
}

TEST_F(MigrateTest, ToTheOtherFamily) {
  AddPolicyAndSa(MakeSpec({.spi = 0x100}));
  MigrateEntry entry = Entry("2001:db8::1", "2001:db8::2");
  entry.new_family = IpFamily::kV6;
  ASSERT_TRUE(control_->Migrate(Move(entry)).has_value());
  SaId id = IdOf(0x100);
  id.daddr = Ip("2001:db8::2");
  id.family = IpFamily::kV6;
  const auto sa = control_->GetSa(id);
  ASSERT_TRUE(sa.has_value());
  EXPECT_EQ((*sa)->outbound()->header[0] >> 4, 6);
}

TEST_F(MigrateTest, TheOperatorsWordGoesAlong) {
  AddPolicyAndSa(MakeSpec({.spi = 0x100}));
  PlacementCommand command;
  command.spi = Spi(0x100);
  command.mode = PlacementMode::kCrypto;
  ASSERT_TRUE(control_->SetPlacement(command).has_value());
  ASSERT_TRUE(control_->Migrate(Move()).has_value());
  Settle();
  EXPECT_EQ(Placement(0x100).requested_by, "operator");
}

TEST_F(MigrateTest, AcquireByRequestAsksForEachTemplate) {
  AcquireRequest request;
  request.policy = MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                              {TemplateFor(SaOptions{}), TemplateFor({.reqid = 2})});
  control_->RequestAcquire(std::move(request));
  EXPECT_EQ(recorder_.Take(), (Events{"asked", "asked"}));
  EXPECT_EQ(control_->GetSadInfo().count, 0u);
  EXPECT_EQ(control_->GetSpdInfo().count[1], 0u);
}

TEST_F(MigrateTest, MainIsAskedForWhenSubHasWhatItWants) {
  PolicySpec sub = MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                              {TemplateFor({.mode = SaMode::kTransport, .reqid = 5})});
  sub.type = PolicyType::kSub;
  ASSERT_TRUE(control_->AddPolicy(sub, {}).has_value());
  AddPolicyAndSa(MakeSpec({.src = "10.1.0.1",
                           .dst = "10.2.0.1",
                           .spi = 0x200,
                           .mode = SaMode::kTransport,
                           .reqid = 5}));
  const DataPathEvent event{
      .kind = DataPathEvent::Kind::kAcquire,
      .policy_number = path_.spd.List()[1]->number,
      .flow = {.saddr = Ip("10.1.0.1"), .daddr = Ip("10.2.0.1"), .family = IpFamily::kV4}};
  path_.events[0]->Push({&event, 1});
  control_->OnBell();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"});
  EXPECT_EQ(control_->ListSas()[0]->spec().reqid, Reqid(1)) << "of the MAIN policy";
}

}  // namespace
}  // namespace cygnet
