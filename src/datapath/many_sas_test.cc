// More SAs than the CPU's caches hold: batches that are warmed up (datapath/warm_up.h) are handled
// like all others.
#include <gtest/gtest.h>

#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::SaOptions;

constexpr uint32_t kSas = 1200;

std::string Peer(uint32_t i) {
  return "10.2." + std::to_string(i / 256) + "." + std::to_string(i % 256);
}

// Each peer has its own SA in transport mode, from host a to host b.
class ManySasTest : public testing::Test {
 protected:
  ManySasTest() {
    std::vector<std::string> own;
    for (uint32_t i = 0; i < kSas; ++i) {
      const SaOptions options{.src = "10.1.0.1",
                              .dst = Peer(i),
                              .spi = 0x1000 + i,
                              .mode = SaMode::kTransport,
                              .window = i % 2 == 0 ? 64u : 1024u};
      a_.Add(options);
      sas_.push_back(b_.Add(options));
      own.push_back(Peer(i));
    }
    b_.SetAddresses(own);
    a_.AddPolicy(Policy(PolicyDirection::kOut));
    b_.AddPolicy(Policy(PolicyDirection::kIn));
  }
  static PolicySpec Policy(PolicyDirection direction) {
    return test::MakePolicy(direction, "10.1.0.0/16", "10.2.0.0/16",
                            {test::TemplateFor({.mode = SaMode::kTransport})});
  }
  static Bytes FrameTo(uint32_t peer, uint16_t port) {
    return test::Frame(
        test::Udp({.src = "10.1.0.1", .dst = Peer(peer)}, port, 7, test::Pattern(20)));
  }
  // Sends a batch of 64, each to another peer; all packets arrive, in order and intact.
  void SendBatch(uint32_t first, uint16_t port) {
    std::vector<Bytes> sent;
    for (uint32_t i = 0; i < kMaxBatch; ++i) {
      sent.push_back(FrameTo((first + i * 37) % kSas, port));
      a_.FromHost(sent.back());
    }
    a_.Run();
    const std::vector<Bytes> wire = a_.ToWire();
    ASSERT_EQ(wire.size(), kMaxBatch);
    for (const Bytes& frame : wire) {
      ASSERT_EQ(frame[23], kProtoEsp);
      b_.FromWire(frame);
    }
    b_.Run();
    const std::vector<Bytes> arrived = b_.ToHost();
    ASSERT_EQ(arrived.size(), kMaxBatch);
    for (uint32_t i = 0; i < kMaxBatch; ++i) {
      EXPECT_TRUE(std::equal(arrived[i].begin() + 14, arrived[i].end(), sent[i].begin() + 14));
    }
  }

  PacketPools pools_{512, 1};
  test::TestHost a_{&pools_, {.nic = false}};
  test::TestHost b_{&pools_, {.nic = false}};
  std::vector<SaPtr> sas_;
};

TEST_F(ManySasTest, BatchesOfManySasArriveWholeAndInOrder) {
  for (uint32_t i = 0; i < 20; ++i) SendBatch(i * 11, static_cast<uint16_t>(1 + i / 4));
}

TEST_F(ManySasTest, AChangeBetweenBatchesIsSeenByTheNext) {
  for (uint32_t i = 0; i < 3; ++i) SendBatch(i, 1);
  PolicySpec block = Policy(PolicyDirection::kOut);
  block.priority = 1;
  block.action = PolicyAction::kBlock;
  block.templates.clear();
  const auto policy = a_.AddPolicy(block);
  for (uint32_t i = 0; i < kMaxBatch; ++i) a_.FromHost(FrameTo(i, 1));
  a_.Run();
  EXPECT_TRUE(a_.ToWire().empty());
  a_.path.spd.Remove(policy);
  a_.path.BumpGeneration();
  SendBatch(5, 1);
}

// They are decided together, before the batch, once many came in the batch before.
TEST_F(ManySasTest, NewFlowsOfABatchGetTheirOwnDecisions) {
  constexpr uint32_t kBlocked = 5;
  constexpr uint32_t kWithoutSa = kSas + 7;
  PolicySpec block = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", Peer(kBlocked) + "/32",
                                      {}, PolicyAction::kBlock);
  block.priority = 1;
  a_.AddPolicy(block);
  for (uint16_t port = 1; port < 10; ++port) {
    for (uint32_t i = 0; i < kMaxBatch; ++i) {
      a_.FromHost(FrameTo(i % 8 == 0 ? kBlocked : i % 8 == 1 ? kWithoutSa : 100 + i, port));
    }
    a_.Run();
    const std::vector<Bytes> wire = a_.ToWire();
    ASSERT_EQ(wire.size(), kMaxBatch * 3 / 4) << port;
    for (const Bytes& frame : wire) ASSERT_EQ(frame[23], kProtoEsp);
    ASSERT_EQ(a_.Events().size(), kMaxBatch / 8) << "each packet without an SA asks for one, once";
  }
}

TEST_F(ManySasTest, ShortForeignAndUnknownPacketsAmongThemDoNoHarm) {
  for (uint32_t i = 0; i < 3; ++i) SendBatch(i, 1);
  const Bytes whole = FrameTo(1, 1);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    a_.FromHost(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    b_.FromWire(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
  }
  a_.Run();
  b_.Run();
  (void)a_.ToWire();
  EXPECT_TRUE(b_.ToHost().empty());
  SendBatch(9, 2);
}

}  // namespace
}  // namespace cygnet
