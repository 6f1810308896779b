#include "daemon/system/wire_watch.h"

#include <gmock/gmock.h>

#include "device/wires/wire_port.h"
#include "support/port_fixture.h"

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class WireWatchTest : public test::PortTest {
 protected:
  void SetUp() override {
    if (!MakeWire() || access("/dev/net/tun", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "no network namespace of our own";
    }
    auto events = LinkEvents::Create();
    ASSERT_TRUE(events) << events.error().message;
    events_ = *std::move(events);
    Open("af_packet");
  }
  void Open(const std::string& driver) {
    auto port = OpenWire(driver, Params("wa"));
    if (!port && driver == "af_xdp") GTEST_SKIP() << port.error().message;
    ASSERT_TRUE(port) << port.error().message;
    port_ = *std::move(port);
    host_.reset();
    auto host = TapPort::Create({.name = "nic0", .mtu = port_->mtu(), .mac = port_->mac()});
    ASSERT_TRUE(host) << host.error().message;
    host_ = *std::move(host);
    watch_ = std::make_unique<WireWatch>(WireWatch::Hooks{
        .shut =
            [this](const WatchedWire& wire) {
              up_when_shut_.push_back(Run("ip link show " + wire.wire + " up | grep -q ."));
              return shut_;
            },
        .tell =
            [this](const std::string& device, const std::string& state, const std::string& text) {
              told_.push_back(device + ": " + state + ": " + text);
            },
        .changed = [this] { ++changes_; }});
    watch_->Add({.device = "nic0", .wire = "wa", .port = port_.get(), .host = host_.get()});
  }
  // Waits until the kernel has reported everything.
  void Follow() {
    for (int i = 0; i < 20; ++i) {
      watch_->Look(events_->Drain());
      usleep(5000);
    }
  }
  static bool Shows(const std::string& interface, const std::string& what) {
    return Run("ip link show " + interface + " | grep -q '" + what + "'");
  }
  static bool MakeAgain() {
    return Run("ip link add wa type veth peer name wb") && Run("ip link set wb up");
  }
  void SendAndCount(uint64_t sent, uint64_t down) {
    const uint64_t before = port_->stats().tx_packets;
    const uint64_t dropped = user.drops.Get(DropReason::kPortDown);
    PacketBatch batch;
    batch.Push(MakeFrame("a frame"));
    port_->Transmit(0, &batch, &user.sink);
    EXPECT_EQ(port_->stats().tx_packets - before, sent);
    EXPECT_EQ(user.drops.Get(DropReason::kPortDown) - dropped, down);
  }

  std::unique_ptr<LinkEvents> events_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<TapPort> host_;
  std::unique_ptr<WireWatch> watch_;
  Status shut_;
  std::vector<bool> up_when_shut_;
  std::vector<std::string> told_;
  int changes_ = 0;
};

TEST_F(WireWatchTest, WhatDoesNotChangeIsNotTold) {
  Follow();
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_EQ(changes_, 0);
  EXPECT_THAT(up_when_shut_, IsEmpty());
  ASSERT_THAT(watch_->DoctorRows(), SizeIs(1));
  EXPECT_TRUE(watch_->DoctorRows()[0].ok);
}

TEST_F(WireWatchTest, TheHostSeesTheCarrier) {
  ASSERT_TRUE(Run("ip link set wb down"));
  Follow();
  EXPECT_THAT(told_, ElementsAre("nic0: link no-carrier: wire wa has no carrier"));
  EXPECT_TRUE(Shows("nic0", "NO-CARRIER"));
  SendAndCount(0, 1);
  ASSERT_TRUE(Run("ip link set wa down"));
  Follow();
  EXPECT_EQ(told_.back(), "nic0: link down: wire wa is set down");
  EXPECT_THAT(watch_->DoctorRows()[0].advice, HasSubstr("ip link set wa up"));
  ASSERT_TRUE(Run("ip link set wa up") && Run("ip link set wb up"));
  Follow();
  EXPECT_EQ(told_.back(), "nic0: link up: wire wa is up");
  EXPECT_FALSE(Shows("nic0", "NO-CARRIER"));
  SendAndCount(1, 0);
  EXPECT_THAT(up_when_shut_, IsEmpty()) << "it is the same interface, which is shut already";
}

TEST_F(WireWatchTest, TellsThatTheHostsInterfaceIsGone) {
  EXPECT_EQ(host_->presence(), HostPresence::kPresent);
  ASSERT_TRUE(Run("ip link set nic0 name wan0"));
  Follow();
  EXPECT_THAT(told_, IsEmpty()) << "a new name does not make another interface";
  ASSERT_TRUE(Run("ip link set wan0 name nic0 && ip link del nic0"));
  Follow();
  EXPECT_EQ(host_->presence(), HostPresence::kRemoved);
  EXPECT_THAT(told_, ElementsAre("nic0: host-side removed: interface nic0 was removed: no traffic "
                                 "to or from the host until cygnetd is restarted"));
}

TEST_F(WireWatchTest, TellsThatTheHostsInterfaceIsInAnotherNamespace) {
  ASSERT_TRUE(Run("unshare --net sleep 3 & sleep 0.2; ip link set nic0 netns $!"));
  Follow();
  EXPECT_EQ(host_->presence(), HostPresence::kElsewhere);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("nic0: host-side elsewhere: interface nic0 is in ")));
}

TEST_F(WireWatchTest, TheHostSeesMtuAndAddress) {
  ASSERT_TRUE(Run("ip link set wa mtu 1400") && Run("ip link set wa address 02:00:00:00:00:42"));
  Follow();
  EXPECT_TRUE(Shows("nic0", "mtu 1400"));
  EXPECT_TRUE(Shows("nic0", "02:00:00:00:00:42"));
  EXPECT_EQ(port_->mtu(), 1400u);
  EXPECT_EQ(host_->mtu(), 1400u);
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_GT(changes_, 0);
  ASSERT_TRUE(Run("ip link set wa mtu 9000"));
  Follow();
  EXPECT_EQ(host_->mtu(), kSmallMtu) << "the pools have no packets for more";
  const DoctorRow row = watch_->DoctorRows()[0];
  EXPECT_FALSE(row.ok);
  EXPECT_THAT(row.text, HasSubstr("the MTU of wire wa is 9000, but that of nic0 stays at 2226"));
  EXPECT_THAT(row.text, HasSubstr("started without packets for jumbo frames: restart it"));
  ASSERT_TRUE(Run("ip link set wa mtu 1500"));
  Follow();
  EXPECT_TRUE(watch_->DoctorRows()[0].ok);
}

TEST_F(WireWatchTest, OneThatCameBackIsShutFirst) {
  ASSERT_TRUE(Run("ip link del wa"));
  Follow();
  EXPECT_EQ(told_.back(), "nic0: link gone: wire wa is gone: no interface has this name");
  SendAndCount(0, 1);
  shut_ = MakeError(Errc::kIo, "nftables is out of order");
  ASSERT_TRUE(MakeAgain());
  Follow();
  EXPECT_EQ(told_.back(),
            "nic0: link barred: wire wa exists but is not used: nftables is out of order");
  EXPECT_THAT(told_, SizeIs(2)) << "said once";
  EXPECT_FALSE(Shows("wa", "[<,]UP[,>]")) << "what is not shut is not set up";
  EXPECT_TRUE(Shows("nic0", "NO-CARRIER"));
  EXPECT_THAT(watch_->DoctorRows()[0].text, HasSubstr("nftables is out of order"));
  SendAndCount(0, 1);
  shut_ = Status();
  Follow();
  EXPECT_EQ(told_.back(), "nic0: link up: wire wa is up");
  SendAndCount(1, 0);
  EXPECT_THAT(up_when_shut_, testing::Each(false));
}

// The wire goes and comes back between two checks: its name does not show that.
TEST_F(WireWatchTest, OneThatWentBetweenTwoLooksIsShutAgain) {
  ASSERT_TRUE(Run("ip link del wa") && MakeAgain());
  Follow();
  EXPECT_THAT(up_when_shut_, ElementsAre(false));
  EXPECT_THAT(told_, ElementsAre("nic0: link up: wire wa is up"));
  SendAndCount(1, 0);
}

TEST_F(WireWatchTest, AfterLostEventsItIsShutAgain) {
  watch_->Look({.lost = true, .any = true});
  EXPECT_THAT(up_when_shut_, SizeIs(1));
  SendAndCount(1, 0);
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(WireWatchTest, AfXdpSaysThatItNeedsARestart) {
  watch_.reset();
  port_.reset();
  Open("af_xdp");
  if (watch_ == nullptr) return;
  ASSERT_TRUE(Run("ip link del wa") && MakeAgain());
  Follow();
  EXPECT_THAT(told_.back(), HasSubstr("restart cygnetd"));
  EXPECT_EQ(port_->link(), LinkStatus::kBarred);
  SendAndCount(0, 1);
}

}  // namespace
}  // namespace cygnet
