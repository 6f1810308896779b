// Children that lie about frames (test/isolation/hostile_driver.cc). The device fails; the host
// neither crashes nor waits, and gets all of its packets back.
#include "isolation/driver_fixture.h"

namespace cygnet {
namespace {

using namespace std::chrono_literals;

class HostileDriver : public test::IsolatedDriverTest,
                      public testing::WithParamInterface<const char*> {
 protected:
  PublicCopy hostile_{CYGNET_HOSTILE_CHILD};
};

TEST_P(HostileDriver, FailsAlone) {
  OpenWith(hostile_.path(), GetParam(), {});
  // The adapter may see the breach first, which ends the device as well.
  EXPECT_TRUE(Within5s([&] {
    Transmit(ToSeal(test::MakeSpec(), OffloadHandle(5), 1, test::Pattern(100)));
    (void)Receive(0);
    if (Packet* sent = wire_->TakeSent(); sent != nullptr) test::FreePacket(sent);
    return device_->state() == DeviceState::kFailed || !device_->breach().empty();
  }));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(device_->Close(), 0u) << "packets that were not given back";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}
INSTANTIATE_TEST_SUITE_P(All, HostileDriver,
                         testing::Values("up-beyond", "up-foreign", "up-twice", "status",
                                         "sealed-up", "length", "head", "fault-both", "fault-tail",
                                         "tail-beyond", "out-wire", "out-move", "out-beyond",
                                         "out-grown", "out-reason", "flicker", "scribble"));

class HostileFacts : public HostileDriver {};
TEST_P(HostileFacts, AreRefused) { EXPECT_FALSE(TryOpen(hostile_.path(), GetParam(), {})); }
INSTANTIATE_TEST_SUITE_P(All, HostileFacts, testing::Values("caps-many", "caps-short"));

class HostileList : public HostileDriver {};
TEST_P(HostileList, FailsTheDevice) {
  OpenWith(hostile_.path(), GetParam(), {});
  EXPECT_TRUE(device_->HeldSas().empty());
  EXPECT_EQ(device_->state(), DeviceState::kFailed);
}
INSTANTIATE_TEST_SUITE_P(All, HostileList, testing::Values("list-long"));

}  // namespace
}  // namespace cygnet
