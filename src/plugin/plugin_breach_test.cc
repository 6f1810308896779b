// What happens to a driver that breaks the contract.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "support/plugin_fixture.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Pattern;
using test::PluginDeviceTest;
using testing::HasSubstr;
using testing::IsEmpty;

// The null driver, with answers that a test replaces.
class BreachTest : public PluginDeviceTest {
 protected:
  BreachTest() {
    const auto plugin =
        LoadDriver(std::string(CYGNET_TEST_PLUGINS) + "/plugin_null.so", PluginTrust::kAnyOwner);
    EXPECT_TRUE(plugin);
    liar_ = *plugin;
    liar_.driver.open = [](const cygnet_driver_open* params, void** device, cygnet_refusal*) {
      services = params->services;
      *device = &services;
      return 0;
    };
    liar_.driver.close = [](void*) {};
    liar_.driver.stats = [](void*, cygnet_driver_stats*) {};
    liar_.driver.tx_burst = [](void*, uint32_t, cygnet_packet* const* packets, uint32_t n) {
      held.assign(packets, packets + n);
      return n;
    };
    liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet**, uint32_t) { return 0u; };
    held.clear();
  }
  ~BreachTest() override {
    // The device is closed, and every packet is back.
    device_.reset();
    wire_ = nullptr;
  }
  void Send(OffloadStatus status) {
    Packet* packet = test::MakePacket(&pools_, test::Frame(test::Udp({}, 1, 2, Pattern(40))));
    packet->offload.status = status;
    Transmit(packet);
  }
  static void* context() { return services->host->context; }
  // The device has failed, and frames are dropped.
  void ExpectFailed(const std::string& why) {
    EXPECT_THAT(device_->breach(), HasSubstr(why));
    EXPECT_EQ(device_->state(), DeviceState::kFailed);
    EXPECT_EQ(device_->link(), LinkStatus::kBarred);
    EXPECT_THAT(device_->DriverView(), HasSubstr(why));
    const uint64_t before = counters_.Get(DropReason::kPortDown);
    Send(OffloadStatus::kNone);
    EXPECT_EQ(counters_.Get(DropReason::kPortDown), before + 1);
    EXPECT_THAT(Receive(), IsEmpty());
    OffloadHandle handle;
    const SaSpec spec = test::MakeSpec();
    EXPECT_EQ(device_->InstallSa({spec, Half::kOutbound, 0}, &handle)->kind,
              InstallError::kDeviceDown);
  }
  DriverPlugin liar_;
  static inline const cygnet_driver_host* services = nullptr;
  static inline std::vector<cygnet_packet*> held;
};

TEST_F(BreachTest, AHandleTwice) {
  static const cygnet_algorithm_caps kRow = {"rfc4106(gcm(aes))", {16}, {16}};
  liar_.driver.caps = [](void*) {
    static cygnet_caps caps{};
    caps.size = sizeof(caps);
    caps.algorithms = &kRow;
    caps.algorithm_count = 1;
    return static_cast<const cygnet_caps*>(&caps);
  };
  liar_.driver.install_sa = [](void*, const cygnet_sa*, uint32_t* handle, cygnet_refusal*) {
    *handle = 5;
    return 0;
  };
  Open(liar_);
  const SaSpec spec = test::MakeSpec();
  OffloadHandle handle;
  EXPECT_FALSE(device_->InstallSa({spec, Half::kOutbound, 0}, &handle).has_value());
  EXPECT_TRUE(device_->InstallSa({spec, Half::kOutbound, 0}, &handle).has_value());
  ExpectFailed("handle 5, which another SA");
}

TEST_F(BreachTest, ARefusalThatIsNoErrno) {
  liar_.driver.install_sa = [](void*, const cygnet_sa*, uint32_t*, cygnet_refusal*) {
    return -1'000'000;
  };
  static const cygnet_algorithm_caps kRow = {"rfc4106(gcm(aes))", {16}, {16}};
  liar_.driver.caps = [](void*) {
    static cygnet_caps caps{};
    caps.size = sizeof(caps);
    caps.algorithms = &kRow;
    caps.algorithm_count = 1;
    return static_cast<const cygnet_caps*>(&caps);
  };
  Open(liar_);
  const SaSpec spec = test::MakeSpec();
  OffloadHandle handle;
  EXPECT_TRUE(device_->InstallSa({spec, Half::kOutbound, 0}, &handle).has_value());
  ExpectFailed("install_sa returned -1000000");
}

TEST_F(BreachTest, AfterABreachNothingIsCalled) {
  static int calls;
  calls = 0;
  liar_.driver.status = [](void*, cygnet_status*) { ++calls; };
  liar_.driver.stats = [](void*, cygnet_driver_stats*) { ++calls; };
  Open(liar_);
  (void)device_->resets();
  EXPECT_EQ(calls, 1);
  Send(OffloadStatus::kNone);
  services->packet_drop(context(), held.data(), 1, "bored");
  (void)device_->resets();
  (void)device_->offload_stats();
  (void)device_->state();
  EXPECT_EQ(calls, 1);
}

TEST_F(BreachTest, AnErasedHandleThatItNeverGave) {
  liar_.driver.take_erased = [](void*, uint32_t* handles, uint32_t) {
    handles[0] = 9;
    return 1u;
  };
  Open(liar_);
  EXPECT_THAT(device_->TakeErased(), IsEmpty());
  ExpectFailed("handle 9, which no SA");
}

TEST_F(BreachTest, MoreErasedHandlesThanPlaces) {
  liar_.driver.take_erased = [](void*, uint32_t*, uint32_t room) { return room + 1; };
  Open(liar_);
  EXPECT_THAT(device_->TakeErased(), IsEmpty());
  ExpectFailed("take_erased returned 257");
}

TEST_F(BreachTest, AStateThatDoesNotExist) {
  liar_.driver.status = [](void*, cygnet_status* status) { status->state = 77; };
  Open(liar_);
  EXPECT_EQ(device_->state(), DeviceState::kFailed);
  ExpectFailed("state is 77");
}

TEST_F(BreachTest, MorePacketsTakenThanGiven) {
  liar_.driver.tx_burst = [](void*, uint32_t, cygnet_packet* const*, uint32_t n) { return n + 1; };
  Open(liar_);
  Send(OffloadStatus::kNone);
  ExpectFailed("tx_burst took 2 of 1");
}

TEST_F(BreachTest, MorePacketsReceivedThanPlaces) {
  liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet**, uint32_t room) { return room + 1; };
  Open(liar_);
  EXPECT_THAT(Receive(), IsEmpty());
  ExpectFailed("rx_burst returned 65");
}

TEST_F(BreachTest, APacketFreedTwice) {
  Open(liar_);
  Send(OffloadStatus::kNone);
  services->packet_free(context(), held.data(), 1);
  EXPECT_EQ(device_->breach(), "");
  services->packet_free(context(), held.data(), 1);
  ExpectFailed("gave back a packet that it does not own");
}

TEST_F(BreachTest, APacketThatIsNone) {
  cygnet_packet own{};
  cygnet_packet* foreign = &own;
  Open(liar_);
  Send(OffloadStatus::kNone);
  cygnet_packet* shifted = nullptr;
  const auto between = reinterpret_cast<uintptr_t>(held[0]) + 8;
  std::memcpy(&shifted, &between, sizeof(shifted));
  services->packet_free(context(), &shifted, 1);
  services->packet_free(context(), &foreign, 1);
  ExpectFailed("gave back a packet that it does not own");
}

TEST_F(BreachTest, AFrameBeyondItsBuffer) {
  liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet** packets, uint32_t) {
    services->packet_alloc(context(), packets, 1);
    packets[0]->length = packets[0]->capacity;
    return 1u;
  };
  Open(liar_);
  EXPECT_THAT(Receive(), IsEmpty());
  ExpectFailed("beyond its buffer");
}

TEST_F(BreachTest, ALengthThatOverflows) {
  liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet** packets, uint32_t) {
    services->packet_alloc(context(), packets, 1);
    packets[0]->length = ~0u;
    packets[0]->head = 2;
    return 1u;
  };
  Open(liar_);
  EXPECT_THAT(Receive(), IsEmpty());
  ExpectFailed("beyond its buffer");
}

TEST_F(BreachTest, AStatusThatDoesNotExist) {
  liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet** packets, uint32_t) {
    services->packet_alloc(context(), packets, 1);
    packets[0]->status = 99;
    return 1u;
  };
  Open(liar_);
  EXPECT_THAT(Receive(), IsEmpty());
  ExpectFailed("status 99");
}

// Among them a completion that nobody asked for: a sealed packet, or one handed back that came from
// the wire.
TEST_F(BreachTest, AStatusThatWasNotAskedFor) {
  for (const uint8_t status : {CYGNET_PACKET_RETURNED, CYGNET_PACKET_SEALED,
                               CYGNET_PACKET_DECAPSULATED, CYGNET_PACKET_SEAL_REQUESTED}) {
    static uint8_t answer;
    answer = status;
    liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet** packets, uint32_t) {
      services->packet_alloc(context(), packets, 1);
      packets[0]->status = answer;
      return 1u;
    };
    Open(liar_);
    EXPECT_THAT(Receive(), IsEmpty());
    ExpectFailed("was not lent for this");
  }
}

TEST_F(BreachTest, APacketToSendHandedUpAsReceived) {
  liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet** packets, uint32_t) {
    if (held.empty()) return 0u;
    packets[0] = held[0];
    return 1u;
  };
  Open(liar_);
  Send(OffloadStatus::kNone);
  EXPECT_THAT(Receive(), IsEmpty());
  ExpectFailed("was not lent for this");
}

TEST_F(BreachTest, APacketHandedBackShorter) {
  liar_.driver.rx_burst = [](void*, uint32_t, cygnet_packet** packets, uint32_t) {
    if (held.empty()) return 0u;
    packets[0] = held[0];
    packets[0]->status = CYGNET_PACKET_RETURNED;
    --packets[0]->length;
    return 1u;
  };
  Open(liar_);
  Send(OffloadStatus::kSealRequested);
  EXPECT_THAT(Receive(), IsEmpty());
  ExpectFailed("changed the length");
}

TEST_F(BreachTest, AReasonThatDoesNotExist) {
  Open(liar_);
  Send(OffloadStatus::kNone);
  services->packet_drop(context(), held.data(), 1, "bored");
  ExpectFailed("reason \"bored\"");
}

TEST_F(BreachTest, AQueueOfTheWireThatDoesNotExist) {
  Open(liar_);
  Send(OffloadStatus::kNone);
  services->wire_send(context(), 3, held.data(), 1);
  ExpectFailed("queue 3 of the wire, which has 1");
}

TEST_F(BreachTest, AnAnswerThatIsNeitherYesNorNo) {
  liar_.driver.filter_eligible = [](void*, cygnet_packet* const*, uint32_t, uint8_t* eligible) {
    eligible[0] = 7;
  };
  Open(liar_);
  Packet* packet = test::MakePacket(&pools_, Bytes(60, 1));
  bool eligible = true;
  device_->FilterEligible({&packet, 1}, {&eligible, 1});
  EXPECT_FALSE(eligible);
  test::FreePacket(packet);
  ExpectFailed("neither 0 nor 1");
}

TEST_F(BreachTest, CapabilitiesThatCannotBeRead) {
  liar_.driver.caps = [](void*) { return static_cast<const cygnet_caps*>(nullptr); };
  const auto device = PluginDevice::Open(
      liar_, {.name = "nic0", .pools = &pools_, .wire = std::make_unique<MemoryPort>("wire")});
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().message, HasSubstr("caps returned nothing"));
}

TEST_F(BreachTest, PacketsThatItKeepsReturnToTheirPools) {
  Open(liar_);
  const uint32_t available = pools_.small.Available();
  Send(OffloadStatus::kNone);
  EXPECT_EQ(device_->Close(), 1u);
  EXPECT_GE(pools_.small.Available() + 64, available);
  EXPECT_EQ(device_->Close(), 0u);
  EXPECT_EQ(device_->state(), DeviceState::kFailed);
}

// Texts may be anything; what the stack shows and stores is printable UTF-8.
TEST_F(BreachTest, TextsThatNobodyCanPrint) {
  cygnet_driver table = liar_.driver;
  table.name = "n\xff";
  table.version = "1\x1b[2J";
  table.vendor = "\xc3";
  table.identity = [](void*, cygnet_identity* out) {
    out->model = "m\xfe";
    out->serial = "s\n";
    out->version = "\xed\xa0\x80";
  };
  const auto plugin = ReadDriver(&table, "/driver.so");
  ASSERT_TRUE(plugin);
  EXPECT_EQ(plugin->Title(), "n? 1?[2J (/driver.so)");
  EXPECT_STREQ(plugin->driver.vendor, "?");
  Open(*plugin);
  EXPECT_EQ(device_->identity().model, "m?");
  EXPECT_EQ(device_->identity().serial, "s?");
  EXPECT_EQ(device_->identity().firmware, "???");
  static std::string line;
  SetLogSink([](LogLevel, std::string_view text) { line = text; });
  services->host->log(context(), CYGNET_LOG_ERROR, "hot\xff\x7f");
  EXPECT_EQ(line, "nic0: hot??");
  SetLogSink([](LogLevel, std::string_view) {});
  services->packet_drop(context(), nullptr, 0, "b\xf8");
  EXPECT_THAT(device_->breach(), HasSubstr("the reason \"b?\""));
}

TEST_F(BreachTest, TheBellRingsForABreach) {
  Open(liar_);
  bell_.Arm();
  Send(OffloadStatus::kNone);
  services->packet_drop(context(), held.data(), 1, "bored");
  eventfd_t rung = 0;
  EXPECT_EQ(eventfd_read(bell_.fd(), &rung), 0);
}

}  // namespace
}  // namespace cygnet
