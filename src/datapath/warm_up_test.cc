// What decides whether a batch is warmed up (datapath/warm_up.h). That batches which are warmed up
// are handled like all others: many_sas_test.cc, scale_bench.
#include "datapath/warm_up.h"

#include <gtest/gtest.h>

#include "datapath/flow_decider.h"
#include "support/memory_port.h"
#include "support/packet_builder.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

// A worker's parts for packets of the host.
class WarmUpTest : public testing::Test {
 protected:
  WarmUpTest() {
    path_.straight_from = 1;
    path_.flow_entries = 64;
    path_.interfaces.push_back({.host = &host_, .wire = &wire_, .ifindex = 1});
    decider_.emplace(&path_, &warm_up_, 0);
    plain_.emplace(path_.flow_entries);
    context_.emplace(&path_, 0, &pools_, &engines_);
  }
  // Warms up one packet each of 16 flows, which differ by `first`, and of `proto`.
  void Batch(uint16_t first, uint8_t proto) {
    std::vector<Packet*> packets;
    for (uint16_t i = 0; i < 16; ++i) {
      test::Bytes udp = test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"},
                                  static_cast<uint16_t>(first + i), 7, test::Pattern(20));
      udp[9] = proto;
      packets.push_back(test::MakePacket(&pools_, test::Frame(udp)));
      packets.back()->l3_offset = kEthernetHeader;
    }
    warm_up_.Outbound(*context_, 0, packets, &*decider_, &*plain_);
    warm_up_.EndBatch(path_);
    for (Packet* packet : packets) test::FreePacket(packet);
  }
  void AddPolicy(std::vector<Template> templates) {
    path_.spd.Insert(
        test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", templates), 1);
    path_.BumpGeneration();
  }

  PacketPools pools_{256, 1};
  MemoryPort host_{"host"};
  MemoryPort wire_{"wire"};
  DataPath path_{1};
  EngineSet engines_;
  WarmUp warm_up_;
  std::optional<FlowDecider> decider_;
  std::optional<PlainFlows> plain_;
  std::optional<WorkerContext> context_;
};

// Otherwise every batch of a host that sends in clear would be decided anew.
TEST_F(WarmUpTest, FlowsInClearAreNewOnce) {
  AddPolicy({});
  for (const uint8_t proto : {kProtoUdp, kProtoTcp}) {
    Batch(100, proto);
    EXPECT_TRUE(warm_up_.due());
    Batch(100, proto);
    EXPECT_FALSE(warm_up_.due());
  }
}

TEST_F(WarmUpTest, FlowsOfAnSaAreNewOnce) {
  const auto sa = test::MakeSa({});
  path_.sad.Insert(sa);
  AddPolicy({test::TemplateFor({})});
  Batch(100, kProtoUdp);
  EXPECT_TRUE(warm_up_.due());
  Batch(100, kProtoUdp);
  EXPECT_FALSE(warm_up_.due());
  Batch(200, kProtoUdp);
  EXPECT_TRUE(warm_up_.due());
}

// Flows of one batch, whose policies ask for the same SA or for another, in every order.
TEST_F(WarmUpTest, EachFlowOfABatchHasItsOwnPolicyAndSa) {
  const auto first = test::MakeSa({.spi = 0x1001, .reqid = 1});
  const auto second = test::MakeSa({.spi = 0x1002, .reqid = 2});
  path_.sad.Insert(first);
  path_.sad.Insert(second);
  const char* const kTo[] = {"10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1"};
  const auto insert = [&](const char* to, std::vector<Template> templates) {
    return path_.spd.Insert(
        test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", to, std::move(templates)), 1);
  };
  const Template of_first = test::TemplateFor({.reqid = 1});
  const Template of_second = test::TemplateFor({.reqid = 2});
  const std::array policies = {insert(kTo[0], {of_first}), insert(kTo[1], {of_first}),
                               insert(kTo[2], {of_second}), insert(kTo[3], {})};
  path_.BumpGeneration();
  plain_.emplace(65536);  // so that no flow takes another one's place
  for (uint16_t round = 0; round < 16; ++round) {
    std::vector<Packet*> packets;
    for (uint16_t i = 0; i < 16; ++i) {
      const char* to = kTo[(i / (1 + round % 4) + round) % 4];
      // In one of four rounds some come from the port of IKE, which may pass in clear.
      const bool ike = round % 4 == 3 && i % 5 == 1;
      const auto port = static_cast<uint16_t>(ike ? 500 : 1000 + round * 16 + i);
      packets.push_back(test::MakePacket(
          &pools_, test::Frame(test::Udp({.src = "10.1.0.1", .dst = to}, port, 7, {}))));
    }
    warm_up_.Outbound(*context_, 0, packets, &*decider_, &*plain_);
    warm_up_.EndBatch(path_);
    for (Packet* packet : packets) {
      const PlainFlow flow(packet->data() + kEthernetHeader);
      const PlainFlows::Name name(flow, 0);
      const auto* entry = plain_->Find(name.Place(), name, path_.generation());
      const auto at = static_cast<std::size_t>(packet->data()[kEthernetHeader + 17] - 2);
      const bool straight = at < 3 && flow.Key().sport != 500;
      const auto* sa = at == 2 ? second->outbound() : first->outbound();
      ASSERT_NE(entry, nullptr);
      EXPECT_EQ(entry->sa, straight ? sa : nullptr) << round;
      EXPECT_EQ(entry->used[0], straight ? policies[at].get() : nullptr) << round;
      EXPECT_EQ(entry->used[1], nullptr);
      test::FreePacket(packet);
    }
  }
}

}  // namespace
}  // namespace cygnet
