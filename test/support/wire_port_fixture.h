// For tests of wire ports: the port under test at one end of a wire, an AF_PACKET port at the
// other.
#pragma once

#include "device/wires/wire_port.h"
#include "support/port_fixture.h"

namespace cygnet::test {

inline const std::string kAfPacket = "af_packet";
inline const std::string kAfXdp = "af_xdp";

class WirePortTest : public PortTest, public testing::WithParamInterface<std::string> {
 protected:
  // The port under test on wa, an AF_PACKET port on wb.
  void Open(const std::string& link = "", uint32_t queues = 1) {
    if (!MakeWire(link)) GTEST_SKIP() << "no network namespace of our own";
    auto far = OpenWire(kAfPacket, Params("wb"));
    ASSERT_TRUE(far) << far.error().message;
    far_ = *std::move(far);
    auto params = Params("wa", queues);
    if (!near_options_.empty()) params.options = OptionsOf(GetParam(), near_options_);
    auto near = OpenWire(GetParam(), params);
    if (!near && GetParam() == kAfXdp) GTEST_SKIP() << near.error().message;
    ASSERT_TRUE(near) << near.error().message;
    near_ = *std::move(near);
  }
  void Send(Port* port, Packet* packet) {
    PacketBatch batch;
    batch.Push(packet);
    port->Transmit(0, &batch, &user.sink);
  }
  static PortLink LinkOf(const std::string& interface) {
    const auto facts = ProbeWire(interface);
    EXPECT_TRUE(facts);
    return {.ifindex = facts->ifindex, .mtu = facts->mtu, .mac = facts->mac};
  }
  // Every queue's thread polls once, so that it adopts new state.
  void ReceiveNothing() {
    for (uint32_t queue = 0; queue < near_->queues(); ++queue) {
      PacketBatch batch;
      near_->Receive(queue, &batch, &user.sink);
      for (Packet* packet : batch.packets()) user.sink.Recycle(packet);
      batch.ReleaseAll();
    }
  }
  bool SomeQueueReceives(const std::string& text) {
    for (int turns = 0; turns < 1000; ++turns) {
      for (uint32_t queue = 0; queue < near_->queues(); ++queue) {
        PacketBatch batch;
        near_->Receive(queue, &batch, &user.sink);
        bool found = false;
        for (Packet* packet : batch.packets()) {
          found = found || (packet->length > kEthernetHeader + 28 && TextOf(*packet) == text);
          user.sink.Recycle(packet);
        }
        batch.ReleaseAll();
        if (found) return true;
      }
      usleep(1000);
    }
    return false;
  }
  void ClearDrops() {
    for (auto& count : user.drops.count) count.store(0);
  }
  std::string near_options_;  // lines of a [[device]] table
  std::unique_ptr<Port> far_, near_;
};

}  // namespace cygnet::test
