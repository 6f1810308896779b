#include <fstream>

#include "device/wires/wire_port.h"
#include "support/port_fixture.h"

namespace cygnet {
namespace {

class PcapPortTest : public test::PortTest {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cygnet-pcap-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { Run("rm -r " + folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // A capture of `frames`, `gap_us` apart. `kept`: bytes stored of each; 0: all. `link`: 1 =
  // Ethernet.
  void Write(const std::string& name, const std::vector<std::vector<uint8_t>>& frames,
             uint32_t gap_us = 0, uint32_t kept = 0, uint32_t link = 1) {
    std::ofstream file(Path(name), std::ios::binary);
    const auto put = [&](uint32_t word) {
      file.write(reinterpret_cast<const char*>(&word), sizeof(word));
    };
    for (const uint32_t word : {0xa1b2c3d4u, 0x00040002u, 0u, 0u, 65535u, link}) put(word);
    uint32_t at = 999'990;
    for (const auto& frame : frames) {
      const auto length = static_cast<uint32_t>(frame.size());
      const uint32_t here = kept != 0 ? kept : length;
      for (const uint32_t word : {1000 + at / 1'000'000, at % 1'000'000, here, length}) put(word);
      file.write(reinterpret_cast<const char*>(frame.data()), here);
      at += gap_us;
    }
  }
  Result<std::unique_ptr<Port>> TryOpen(const std::string& options) {
    DriverParams params = Params("", 2);
    params.options = OptionsOf("pcap", options);
    return OpenWire("pcap", params);
  }
  std::unique_ptr<Port> Open(const std::string& options) {
    auto port = TryOpen(options);
    EXPECT_TRUE(port) << port.error().message;
    return *std::move(port);
  }
  std::string Key(const std::string& key, const std::string& file) const {
    return key + " = \"" + Path(file) + "\"\n";
  }
  // The texts of all frames until none arrives for a while.
  std::vector<std::string> Drain(Port* port) {
    std::vector<std::string> texts;
    for (int quiet = 0; quiet < 3;) {
      PacketBatch batch;
      const uint32_t n = port->Receive(0, &batch, &user.sink);
      for (Packet* packet : batch.packets()) {
        texts.push_back(TextOf(*packet));
        user.sink.Recycle(packet);
      }
      batch.ReleaseAll();
      quiet = n == 0 ? quiet + 1 : 0;
      if (n == 0 && port->PrepareWait(0)) {
        pollfd fd{port->wait_fd(0), POLLIN, 0};
        (void)poll(&fd, 1, 100);
      }
      port->FinishWait(0);
    }
    return texts;
  }
  std::string folder_;
};

TEST_F(PcapPortTest, ReplaysWhatComesLater) {
  auto port = Open(Key("pcap_read", "in.pcap"));
  EXPECT_TRUE(Drain(port.get()).empty());
  std::vector<std::vector<uint8_t>> frames;
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i) {
    texts.push_back("frame " + std::to_string(i));
    frames.push_back(Frame(texts.back(), 1));
  }
  Write("part", frames);
  ASSERT_EQ(std::rename(Path("part").c_str(), Path("in.pcap").c_str()), 0);
  EXPECT_EQ(Drain(port.get()), texts);
  EXPECT_EQ(port->stats().rx_packets, 200u);
  PacketBatch batch;
  EXPECT_EQ(port->Receive(1, &batch, &user.sink), 0u) << "queue 0 alone receives";
}

TEST_F(PcapPortTest, RecordedSpeedKeepsTheGaps) {
  Write("in.pcap", {Frame("a", 1), Frame("b", 1), Frame("c", 1)}, 30'000);
  auto port = Open(Key("pcap_read", "in.pcap") + "pcap_speed = \"recorded\"");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Drain(port.get()).size(), 3u);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(60));
}

TEST_F(PcapPortTest, WhatIsSentReadsBack) {
  {
    auto port = Open(Key("pcap_write", "out.pcap"));
    for (uint32_t queue = 0; queue < 2; ++queue) {
      PacketBatch batch;
      batch.Push(MakeFrame("by queue " + std::to_string(queue)));
      port->Transmit(queue, &batch, &user.sink);
    }
    EXPECT_EQ(port->stats().tx_packets, 2u);
  }
  auto port = Open(Key("pcap_read", "out.pcap"));
  EXPECT_EQ(Drain(port.get()), (std::vector<std::string>{"by queue 0", "by queue 1"}));
}

TEST_F(PcapPortTest, CutAndShortFramesAreDropped) {
  Write("in.pcap", {Frame("a longer text", 1), Frame("b", 1)}, 0, 30);
  auto port = Open(Key("pcap_read", "in.pcap"));
  EXPECT_TRUE(Drain(port.get()).empty());
  EXPECT_EQ(user.drops.Get(DropReason::kPortBadFrame), 2u);
}

TEST_F(PcapPortTest, WhatIsNoCaptureEndsTheReplayOnly) {
  std::ofstream(Path("in.pcap")) << "not a capture";
  auto port = Open(Key("pcap_read", "in.pcap"));
  EXPECT_TRUE(Drain(port.get()).empty());
  Write("raw.pcap", {Frame("a", 1)}, 0, 0, 101);
  auto raw = Open(Key("pcap_read", "raw.pcap"));
  EXPECT_TRUE(Drain(raw.get()).empty()) << "not Ethernet";
}

TEST_F(PcapPortTest, FileThatCannotBeWritten) {
  const auto port = TryOpen(Key("pcap_write", "no/such/folder.pcap"));
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().message.find("pcap_write: "), std::string::npos);
}

}  // namespace
}  // namespace cygnet
