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

}  // namespace
}  // namespace cygnet
