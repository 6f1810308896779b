// The operator's socket end to end, over a real socket: replies, permission, limits, slow clients,
// captures.
#include "daemon/operator/operator_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/operator/pcapng.h"
#include "daemon/operator/report_json.h"
#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class OperatorServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto poller = Poller::Create();
    ASSERT_TRUE(poller);
    poller_ = std::move(*poller);
    server_ = std::make_unique<OperatorServer>(poller_.get(), &control_);
  }

  // A client that has proved its capability.
  UniqueFd Connect() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    server_->Admit(UniqueFd(ends[1]));
    return UniqueFd(ends[0]);
  }

  // Runs the server until it has nothing to do.
  void Run() {
    for (int idle = 0; idle < 2;) idle = poller_->RunOnce(0) == 0 ? idle + 1 : 0;
  }

  static void Send(const UniqueFd& fd, const std::string& text) {
    ASSERT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  // The next datagram; "" is the end of the connection.
  std::optional<std::string> Receive(const UniqueFd& fd) {
    Run();
    std::string text(300'000, '\0');
    const ssize_t got = recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
    if (got < 0) return std::nullopt;
    text.resize(static_cast<std::size_t>(got));
    return text;
  }

  // The reply to one request: its datagrams up to "done" or "error".
  std::vector<std::string> Ask(const UniqueFd& fd, const std::string& request) {
    Send(fd, request);
    std::vector<std::string> reply;
    while (const auto text = Receive(fd)) {
      reply.push_back(*text);
      if (text->empty() || text->starts_with("{\"done\"") || text->starts_with("{\"error\"")) break;
    }
    return reply;
  }

  std::unique_ptr<Poller> poller_;
  test::FakeOperatorControl control_;
  std::unique_ptr<OperatorServer> server_;
};

TEST_F(OperatorServerTest, ListsSasOneDatagramEach) {
  control_.sas = {test::SampleSaReport(0x1000), test::SampleSaReport(0x2000)};
  const UniqueFd fd = Connect();
  const auto reply = Ask(fd, R"({"command":"sa"})");
  ASSERT_EQ(reply.size(), 3u);
  EXPECT_EQ(Json::parse(reply[0])["item"]["spi"], "0x00001000");
  EXPECT_EQ(Json::parse(reply[1])["item"]["spi"], "0x00002000");
  EXPECT_EQ(reply[2], R"({"done":true})");
}

TEST_F(OperatorServerTest, AnswersRequestsInOrderOnOneConnection) {
  control_.stat.engine = "openssl";
  const UniqueFd fd = Connect();
  Send(fd, R"({"command":"policy"})");
  Send(fd, R"({"command":"stat"})");
  EXPECT_EQ(Receive(fd), R"({"done":true})");
  EXPECT_THAT(Receive(fd).value_or(""), HasSubstr(R"("engine":"openssl")"));
  EXPECT_EQ(Receive(fd), R"({"done":true})");
}

TEST_F(OperatorServerTest, ListsEngines) {
  control_.engines = {test::SampleEngineReport()};
  const auto reply = Ask(Connect(), R"({"command":"engine"})");
  ASSERT_EQ(reply.size(), 2u);
  EXPECT_EQ(Json::parse(reply[0])["item"]["name"], "openssl");
}

TEST_F(OperatorServerTest, ShowsFipsModeAndChangesIt) {
  control_.fips = test::SampleFipsReport();
  control_.fips_move = MoveReport{.moved = 3};
  const UniqueFd fd = Connect();
  for (const char* request : {R"({"command":"fips"})", R"({"command":"fips","action":"show"})"}) {
    const auto reply = Ask(fd, request);
    ASSERT_EQ(reply.size(), 2u);
    EXPECT_EQ(Json::parse(reply[0])["item"]["rows"][0]["name"], "nic0");
  }
  EXPECT_TRUE(control_.fips_modes_set.empty());
  auto reply = Ask(fd, R"({"command":"fips","action":"mode","mode":"auto"})");
  ASSERT_EQ(reply.size(), 2u);
  EXPECT_EQ(Json::parse(reply[0])["item"]["moved"], 3);
  reply = Ask(fd, R"({"command":"fips","action":"reload"})");
  ASSERT_EQ(reply.size(), 2u);
  const std::vector<std::optional<std::string>> expected = {"auto", std::nullopt};
  EXPECT_EQ(control_.fips_modes_set, expected);
  control_.fips_move =
      MakeError(Errc::kInvalid, "/etc/cygnet/boundary.toml:3: module.kind: missing");
  EXPECT_THAT(Ask(fd, R"({"command":"fips","action":"reload"})")[0],
              HasSubstr("boundary.toml:3: module.kind: missing"));
}

TEST_F(OperatorServerTest, WrongFipsRequestsChangeNothing) {
  constexpr std::pair<const char*, const char*> kWrong[] = {
      {R"({"command":"fips","action":"off"})", "action: must be"},
      {R"({"command":"fips","action":"mode"})", "mode: missing"},
      {R"({"command":"fips","action":"mode","mode":"yes"})", "mode: must be"},
      {R"({"command":"fips","action":"mode","mode":1})", "mode: must be a string"},
      {R"({"command":"fips","action":"reload","mode":"on"})", "mode: only allowed with"},
      {R"({"command":"fips","mode":"off"})", "mode: only allowed with"},
      {R"({"command":"fips","list":"x"})", "unknown field"},
  };
  const UniqueFd fd = Connect();
  for (const auto& [request, error] : kWrong) {
    EXPECT_THAT(Ask(fd, request)[0], HasSubstr(error)) << request;
  }
  EXPECT_TRUE(control_.fips_modes_set.empty());
}

TEST_F(OperatorServerTest, ExplainsAnMtuOrSaysWhatIsWrong) {
  control_.mtu = test::SampleMtuReport();
  const UniqueFd fd = Connect();
  const auto reply =
      Ask(fd, R"({"command":"mtu","dst":"10.2.0.1","src":"10.1.0.1","proto":6,"dport":80})");
  ASSERT_EQ(reply.size(), 2u);
  EXPECT_EQ(Json::parse(reply[0])["item"]["inner_mtu"], 1380);
  EXPECT_EQ(control_.last_mtu_query.proto, 6);
  EXPECT_EQ(control_.last_mtu_query.dport, 80);
  EXPECT_EQ(control_.last_mtu_query.src->address, ParseAddress("10.1.0.1")->address);
  EXPECT_FALSE(control_.last_mtu_query.sport.has_value());
  constexpr std::pair<const char*, const char*> kWrong[] = {
      {R"({"command":"mtu"})", "dst: missing"},
      {R"({"command":"mtu","dst":"10.2"})", "is not an IP address"},
      {R"({"command":"mtu","dst":"10.2.0.1","src":"x"})", "is not an IP address"},
      {R"({"command":"mtu","dst":"10.2.0.1","proto":256})", "proto: must be at most 255"},
      {R"({"command":"mtu","dst":"10.2.0.1","dport":65536})", "dport: must be at most 65535"},
      {R"({"command":"mtu","dst":"10.2.0.1","size":1})", "unknown field"},
  };
  for (const auto& [request, text] : kWrong) {
    EXPECT_THAT(Ask(fd, request).back(), HasSubstr(text));
  }
  control_.mtu = MakeError(Errc::kInvalid, "src: must be of the same family as dst");
  EXPECT_THAT(Ask(fd, R"({"command":"mtu","dst":"10.2.0.1"})").back(), HasSubstr("same family"));
}

TEST_F(OperatorServerTest, ExplainsAPacketAndRecordsNoOrder) {
  control_.why = test::SampleWhyReport();
  const UniqueFd fd = Connect();
  const std::string request =
      R"({"command":"why","dst":"10.2.0.1","proto":17,"sport":0,"dport":6,"dev":"red","iif":"lan0","mark":9})";
  EXPECT_EQ(Json::parse(Ask(fd, request)[0])["item"]["verdict"], "protected");
  EXPECT_EQ(control_.last_why_query.packet.sport, 0) << "which is not the same as none";
  EXPECT_EQ(control_.last_why_query.packet.iif, "lan0");
  EXPECT_EQ(control_.last_why_query.packet.mark, 9u);
  EXPECT_EQ(control_.last_why_query.packet.dport, 6);
  EXPECT_EQ(control_.last_why_query.dev, "red");
  EXPECT_EQ(OrderOf(request), "");
  Ask(fd, R"({"command":"why","dst":"10.2.0.1","proto":47,"key":65541})");
  EXPECT_EQ(control_.last_why_query.packet.sport, 1) << "the halves of GRE's key";
  EXPECT_EQ(control_.last_why_query.packet.dport, 5);
  constexpr std::pair<const char*, const char*> kWrong[] = {
      {R"({"command":"why"})", "dst: missing"},
      {R"({"command":"why","dst":"10.2.0.1","proto":17,"key":5})", "key: only with protocol 47"},
      {R"({"command":"why","dst":"10.2.0.1","key":5})", "key: only with protocol 47"},
      {R"({"command":"why","dst":"10.2.0.1","proto":47,"sport":1,"key":5})", "key: not with sport"},
      {R"({"command":"why","dst":"10.2.0.1","sport":65536})", "sport: must be at most 65535"},
      {R"({"command":"why","dst":"10.2.0.1","dev":7})", "dev: must be a string"},
      {R"({"command":"why","dst":"10.2.0.1","size":1})", "unknown field"},
  };
  for (const auto& [wrong, text] : kWrong) EXPECT_THAT(Ask(fd, wrong).back(), HasSubstr(text));
}

TEST_F(OperatorServerTest, FiltersSas) {
  SaSpec other = test::SampleSaSpec(0x3000);
  other.daddr = ParseAddress("192.0.2.9")->address;
  other.saddr = ParseAddress("192.0.2.8")->address;
  other.reqid = Reqid{8};
  control_.sas = {test::SampleSaReport(0x1000), test::ReportOf(std::move(other))};
  const UniqueFd fd = Connect();
  for (const char* filter : {R"("spi":"0x3000")", R"("spi":12288)", R"("dst":"192.0.2.9")",
                             R"("src":"192.0.2.8")", R"("reqid":8)", R"("reqid":"8")"}) {
    const auto reply = Ask(fd, std::string(R"({"command":"sa",)") + filter + "}");
    ASSERT_EQ(reply.size(), 2u) << filter;
    EXPECT_EQ(Json::parse(reply[0])["item"]["spi"], "0x00003000");
  }
  EXPECT_EQ(Ask(fd, R"({"command":"sa","spi":1})").size(), 1u);
}

TEST_F(OperatorServerTest, ShowsKeysOnlyWhenAskedTo) {
  control_.sas = {test::SampleSaReport()};
  const UniqueFd fd = Connect();
  EXPECT_THAT(Ask(fd, R"({"command":"sa"})")[0], Not(HasSubstr("\"key\"")));
  EXPECT_THAT(Ask(fd, R"({"command":"sa","show_keys":false})")[0], Not(HasSubstr("\"key\"")));
  EXPECT_THAT(Ask(fd, R"({"command":"sa","show_keys":true})")[0],
              HasSubstr(R"("key":"0x000102030405060708090a0b0c0d0e0f10111213")"));
}

TEST_F(OperatorServerTest, RefusesClientsBeyondTheLimit) {
  std::vector<UniqueFd> crowd;
  for (std::size_t i = 0; i < OperatorServer::kMaxClients; ++i) crowd.push_back(Connect());
  Run();
  EXPECT_EQ(server_->clients(), OperatorServer::kMaxClients);
  const UniqueFd refused = Connect();
  EXPECT_EQ(Receive(refused), R"({"error":"too many clients"})");
  EXPECT_EQ(Receive(refused), "");
  crowd.pop_back();
  Run();
  const UniqueFd fd = Connect();
  EXPECT_EQ(Ask(fd, R"({"command":"policy"})").back(), R"({"done":true})");
}

// Without a limit, 40 stopped clients of `cygnet -j sa` held 1 GiB.
TEST_F(OperatorServerTest, ClientsThatStoppedReadingShareOneBound) {
  constexpr std::size_t kBound = 1 << 20;
  server_ = std::make_unique<OperatorServer>(poller_.get(), &control_, kBound);
  for (uint32_t i = 0; i < 1000; ++i) control_.sas.push_back(test::SampleSaReport(0x1000 + i));
  const UniqueFd stopped = Connect();
  Send(stopped, R"({"command":"sa"})");
  Run();
  const UniqueFd early = Connect();
  const auto busy = Ask(early, R"({"command":"sa"})");
  ASSERT_EQ(busy.size(), 1u);
  EXPECT_THAT(busy[0], HasSubstr("try again")) << "the other may only have paused";
  EXPECT_EQ(Ask(early, R"({"command":"policy"})").back(), R"({"done":true})");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_EQ(server_->clients(), 2u);
  EXPECT_EQ(Ask(early, R"({"command":"sa"})").size(), 1001u);
  EXPECT_EQ(server_->clients(), 1u) << "the client that reads nothing was closed";
}

TEST_F(OperatorServerTest, SaysWhatIsWrongWithARequest) {
  control_.devices = {test::SampleDeviceReport()};
  const struct {
    const char* request;
    const char* message;
  } kCases[] = {
      {"", nullptr},  // an empty datagram reads as the end of the connection
      {"{", "the request is not a JSON object"},
      {"[]", "the request is not a JSON object"},
      {"{}", "unknown command \"\""},
      {R"({"command":"sas"})", "unknown command \"sas\""},
      {R"({"command":5})", "command: must be a string"},
      {R"({"command":"sa","spy":1})", "unknown field \"spy\""},
      {R"({"command":"policy","spi":1})", "unknown field \"spi\""},
      {R"({"command":"sa","spi":-1})", "spi: must be a 32-bit number"},
      {R"({"command":"sa","spi":4294967296})", "spi: must be a 32-bit number"},
      {R"({"command":"sa","spi":"0x"})", "spi: must be a 32-bit number"},
      {R"({"command":"sa","reqid":1.5})", "reqid: must be a 32-bit number"},
      {R"({"command":"sa","dst":"nowhere"})", "dst: \"nowhere\" is not an IP address"},
      {R"({"command":"sa","src":5})", "src: must be a string"},
      {R"({"command":"sa","show_keys":"yes"})", "show_keys: must be true or false"},
      {R"({"command":"dev","name":"nic9"})", "no device \"nic9\"; devices: nic0"},
      {R"({"command":"capture"})", "device: missing"},
      {R"({"command":"capture","device":"nic9","side":"host"})",
       "no device \"nic9\"; devices: nic0"},
      {R"({"command":"capture","device":"nic9","with_keys":1})",
       "with_keys: must be true or false"},
      {R"({"command":"capture","device":"nic9","side":"in"})",
       "side: must be \"host\", \"wire\" or \"guard\""},
      {R"({"command":"capture","device":"nic9","side":"host","snaplen":0})",
       "snaplen: must be from 1 to 262144"},
      {"{\"command\":\"\xff\"}", nullptr},  // invalid UTF-8: any error will do
  };
  for (const auto& row : kCases) {
    const UniqueFd fd = Connect();
    if (row.request[0] == '\0') continue;
    const auto reply = Ask(fd, row.request);
    ASSERT_EQ(reply.size(), 1u) << row.request;
    const Json error = Json::parse(reply[0]);
    ASSERT_TRUE(error.contains("error")) << row.request;
    if (row.message == nullptr) continue;
    EXPECT_THAT(error["error"].get<std::string>(), HasSubstr(row.message)) << row.request;
  }
}

TEST_F(OperatorServerTest, ReportsOrders) {
  std::vector<std::string> orders;
  server_->SetOrderObserver([&orders](const std::string& request, uint32_t uid, int32_t pid) {
    EXPECT_EQ(uid, getuid());
    EXPECT_EQ(pid, getpid());
    orders.push_back(request);
  });
  const std::string kDisable = R"({"command":"offload","action":"disable","device":"nic0"})";
  const std::string kKeys = R"({"command":"sa","show_keys":true})";
  const UniqueFd fd = Connect();
  for (const std::string& request : {kDisable, std::string(R"({"command":"sa"})"), kKeys,
                                     std::string(R"({"command":7})"), std::string("nonsense")}) {
    Ask(fd, request);
  }
  EXPECT_EQ(orders, (std::vector{kDisable, kKeys}));
  // Blanks do not hide an order; a capture is one because it shows plaintext.
  const std::string kCapture = R"({"command":"capture","device":"nic9","side":"host"})";
  Ask(fd, std::string(600, ' ') + R"({ "command" : "sa",    "show_keys" : true })");
  Ask(fd, kCapture);
  EXPECT_EQ(orders, (std::vector{kDisable, kKeys, kKeys, kCapture}));
}

// The preload library reads exactly this text.
TEST_F(OperatorServerTest, StatisticsOfADeviceByIfindex) {
  control_.devices = {test::SampleDeviceReport()};
  const UniqueFd fd = Connect();
  EXPECT_EQ(
      Ask(fd, R"({"command":"statistics","ifindex":5})"),
      (std::vector<std::string>{R"({"item":{"name":"tx_ipsec","value":7}})",
                                R"({"item":{"name":"rx_ipsec","value":8}})", R"({"done":true})"}));
  EXPECT_THAT(Ask(fd, R"({"command":"statistics","ifindex":6})")[0],
              HasSubstr("no device with the ifindex 6"));
  EXPECT_THAT(Ask(fd, R"({"command":"statistics"})")[0], HasSubstr("ifindex: missing"));
}

TEST_F(OperatorServerTest, RefusesOverlongRequests) {
  const UniqueFd fd = Connect();
  EXPECT_THAT(Ask(fd, std::string(kOperatorDatagram + 1, ' '))[0], HasSubstr("request too long"));
  EXPECT_EQ(Ask(fd, R"({"command":"policy"})").back(), R"({"done":true})");
}

TEST_F(OperatorServerTest, SplitsItemsThatAreTooLong) {
  DeviceReport device = test::SampleDeviceReport();
  SaId id = device.held[0];
  id.daddr = ParseAddress("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")->address;
  id.family = IpFamily::kV6;
  device.held.assign(100'000, id);
  KeyLogEntry key = device.key_log[0];
  key.id = id;
  device.key_log.assign(5000, key);
  control_.devices = {device, test::SampleDeviceReport()};
  const UniqueFd fd = Connect();
  const auto reply = Ask(fd, R"({"command":"dev"})");
  std::size_t held = 0;
  std::size_t keys = 0;
  std::size_t items = 0;
  for (const std::string& text : reply) {
    ASSERT_LE(text.size(), kOperatorDatagram);
    const Json json = Json::parse(text);
    if (json.contains("item")) {
      ++items;
      held += json["item"]["held"].size();
      keys += json["item"]["key_log"].size();
    } else if (json.contains("append")) {
      EXPECT_EQ(items, 1u);
      const Json& more = json["append"];
      if (more.contains("held")) held += more["held"].size();
      if (more.contains("key_log")) keys += more["key_log"].size();
    }
  }
  EXPECT_EQ(items, 2u);
  EXPECT_EQ(held, 100'001u);
  EXPECT_EQ(keys, 5001u);
}

TEST_F(OperatorServerTest, SlowClientDoesNotHoldUpOthers) {
  control_.sas.assign(5000, test::SampleSaReport());
  const UniqueFd slow = Connect();
  Send(slow, R"({"command":"sa"})");
  Run();  // would not return if the server blocked or span
  const UniqueFd fd = Connect();
  EXPECT_EQ(Ask(fd, R"({"command":"policy"})").back(), R"({"done":true})");
  std::size_t items = 0;
  while (const auto text = Receive(slow)) {
    if (text == R"({"done":true})") break;
    ++items;
  }
  EXPECT_EQ(items, 5000u);
}

TEST_F(OperatorServerTest, ForgetsClientsThatLeave) {
  control_.sas.assign(5000, test::SampleSaReport());
  {
    const UniqueFd idle = Connect();
    const UniqueFd busy = Connect();
    Send(busy, R"({"command":"sa"})");
    Run();
    EXPECT_EQ(server_->clients(), 2u);
  }
  Run();
  EXPECT_EQ(server_->clients(), 0u);
}

// Types of the pcapng blocks in what a client received.
std::vector<uint32_t> BlockTypes(const std::string& bytes) {
  std::vector<uint32_t> types;
  for (std::size_t at = 0; at + 12 <= bytes.size();) {
    uint32_t head[2];
    std::memcpy(head, bytes.data() + at, sizeof(head));
    types.push_back(head[0]);
    if (head[1] < 12) break;
    at += head[1];
  }
  return types;
}

class OperatorCaptureTest : public OperatorServerTest {
 protected:
  UniqueFd StartCapture(const std::string& more = "") {
    UniqueFd fd = Connect();
    Send(fd, R"({"command":"capture","device":"nic0","side":"wire")" + more + "}");
    EXPECT_EQ(Receive(fd), R"({"ok":true})");
    EXPECT_EQ(BlockTypes(Receive(fd).value_or("")),
              (std::vector{pcapng::kSectionHeader, pcapng::kInterfaceDescription}));
    return fd;
  }

  void Offer(uint32_t length, CaptureDirection direction = CaptureDirection::kOutbound) {
    // A packet of the pool is what a worker would offer.
    Packet* packet = nullptr;
    ASSERT_EQ(pool_.Take(&packet, 1), 1u);
    packet->head = 0;
    packet->length = length;
    std::memset(packet->data(), 0x5a, length);
    control_.captures["nic0"].wire.Offer({&packet, 1}, direction);
    pool_.Give(&packet, 1);
  }

  void SetUp() override {
    OperatorServerTest::SetUp();
    control_.captures["nic0"];
  }

  PacketPool pool_{4, 70'000, 0};
};

TEST_F(OperatorCaptureTest, StreamsFramesAsTheyCome) {
  const UniqueFd fd = StartCapture();
  EXPECT_EQ(Receive(fd), std::nullopt);
  Offer(60);
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")), std::vector{pcapng::kEnhancedPacket});
  Offer(60);
  Offer(61);
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")),
            (std::vector{pcapng::kEnhancedPacket, pcapng::kEnhancedPacket}));
  EXPECT_EQ(Receive(fd), std::nullopt);
}

TEST_F(OperatorCaptureTest, CutsFramesToTheSnapLength) {
  const UniqueFd fd = StartCapture(R"(,"snaplen":16)");
  Offer(65'000);
  EXPECT_EQ(Receive(fd).value_or("").size(), 28u + 16u + 12u + 4u);
}

TEST_F(OperatorCaptureTest, TakesSuperPacketsWhole) {
  const UniqueFd fd = StartCapture();
  for (int i = 0; i < 3; ++i) Offer(65'550);
  for (int i = 0; i < 3; ++i) EXPECT_GT(Receive(fd).value_or("").size(), 65'550u);
}

TEST_F(OperatorCaptureTest, EndsWithStatisticsWhenTheClientShutsDown) {
  const UniqueFd fd = StartCapture();
  Offer(60);
  ASSERT_EQ(shutdown(fd.get(), SHUT_WR), 0);
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")), std::vector{pcapng::kEnhancedPacket});
  const std::string statistics = Receive(fd).value_or("");
  EXPECT_EQ(BlockTypes(statistics), std::vector{pcapng::kInterfaceStatistics});
  EXPECT_EQ(Receive(fd), "");
  EXPECT_EQ(server_->clients(), 0u);
  Offer(60);  // no client captures any more
}

TEST_F(OperatorCaptureTest, CountsWhatASlowClientMisses) {
  const UniqueFd fd = StartCapture();
  constexpr int kOffered = 1000;
  for (int i = 0; i < kOffered; ++i) {
    Offer(65'000);
    Run();
  }
  ASSERT_EQ(shutdown(fd.get(), SHUT_WR), 0);
  uint64_t packets = 0;
  std::string last;
  for (auto text = Receive(fd); text && !text->empty(); text = Receive(fd)) {
    for (const uint32_t type : BlockTypes(*text)) packets += type == pcapng::kEnhancedPacket;
    last = *text;
  }
  ASSERT_FALSE(last.empty());
  uint64_t received = 0;
  uint64_t dropped = 0;
  std::memcpy(&received, last.data() + last.size() - 28, sizeof(received));
  std::memcpy(&dropped, last.data() + last.size() - 16, sizeof(dropped));
  EXPECT_GT(dropped, 0u);
  EXPECT_EQ(received, static_cast<uint64_t>(kOffered));
  EXPECT_EQ(packets + dropped, static_cast<uint64_t>(kOffered));
}

TEST_F(OperatorCaptureTest, DetachesWhenTheClientVanishes) {
  { const UniqueFd fd = StartCapture(); }
  Run();
  EXPECT_EQ(server_->clients(), 0u);
  Offer(60);
  EXPECT_EQ(poller_->RunOnce(0), 0);
}

TEST_F(OperatorCaptureTest, ServerGoesWhileCapturing) {
  const UniqueFd fd = StartCapture();
  Offer(60);
  server_.reset();
  Offer(60);
  EXPECT_EQ(poller_->RunOnce(0), 0);
}

TEST_F(OperatorCaptureTest, BothSidesAreTwoInterfacesOfOneFile) {
  const UniqueFd fd = Connect();
  Send(fd, R"({"command":"capture","device":"nic0"})");
  EXPECT_EQ(Receive(fd), R"({"ok":true})");
  const std::string header = Receive(fd).value_or("");
  EXPECT_EQ(BlockTypes(header), (std::vector{pcapng::kSectionHeader, pcapng::kInterfaceDescription,
                                             pcapng::kInterfaceDescription}));
  EXPECT_THAT(header, HasSubstr("nic0-wire"));
  const std::vector<uint8_t> bytes(20, 0x11);
  control_.captures["nic0"].inner.OfferKnown(
      bytes, {.reason = DropReason::kOutPolicyBlock, .place = CapturePlace::kUnknown});
  Offer(60);
  const std::string frames = Receive(fd).value_or("");
  ASSERT_EQ(BlockTypes(frames), (std::vector{pcapng::kEnhancedPacket, pcapng::kEnhancedPacket}));
  EXPECT_THAT(frames, HasSubstr("dropped: out-policy-block"));
  ASSERT_EQ(shutdown(fd.get(), SHUT_WR), 0);
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")),
            (std::vector{pcapng::kInterfaceStatistics, pcapng::kInterfaceStatistics}));
}

class OperatorCaptureKeysTest : public OperatorCaptureTest {
 protected:
  static constexpr std::string_view kRequest =
      R"({"command":"capture","device":"nic0","with_keys":true})";

  void OfferLinked(uint64_t seq) {
    const std::vector<uint8_t> bytes(20, 0x11);
    const SaSpec spec = test::SampleSaSpec(0x1000);
    control_.captures["nic0"].inner.OfferKnown(
        bytes, {.link = {.spi = 0x1000, .seq = seq, .daddr = spec.daddr, .family = spec.family}});
  }
  void SetUp() override {
    OperatorCaptureTest::SetUp();
    control_.sas = {test::ReportOf(test::SampleSaSpec(0x1000))};
  }
};

TEST_F(OperatorCaptureKeysTest, KeysComeOnceBeforeTheFirstFrameOfTheirSa) {
  const UniqueFd fd = Connect();
  Send(fd, std::string(kRequest));
  EXPECT_EQ(Receive(fd), R"({"ok":true})");
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")).size(), 3u);
  Offer(60);  // not ESP
  OfferLinked(1);
  OfferLinked(2);
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")).size(), 1u);
  const std::string keys = Receive(fd).value_or("");
  EXPECT_THAT(keys, HasSubstr(R"({"sa":{"src":"192.0.2.1")"));
  EXPECT_THAT(keys, HasSubstr("0x000102030405060708090a0b0c0d0e0f10111213"));
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")).size(), 2u);
}

TEST_F(OperatorCaptureKeysTest, NoKeysUnlessRequested) {
  const UniqueFd fd = Connect();
  Send(fd, R"({"command":"capture","device":"nic0"})");
  EXPECT_EQ(Receive(fd), R"({"ok":true})");
  (void)Receive(fd);
  OfferLinked(1);
  EXPECT_THAT(Receive(fd).value_or(""), testing::Not(HasSubstr("0x000102")));
}

TEST_F(OperatorCaptureKeysTest, RefusedInFipsMode) {
  control_.fips.enforced = true;
  const UniqueFd fd = Connect();
  Send(fd, std::string(kRequest));
  EXPECT_THAT(Receive(fd).value_or(""), HasSubstr("refused in FIPS mode"));
  EXPECT_EQ(control_.captures["nic0"].inner.readers(), 0u);
}

TEST_F(OperatorCaptureKeysTest, FipsModeThatBeginsMeanwhileEndsThem) {
  const UniqueFd fd = Connect();
  Send(fd, std::string(kRequest));
  EXPECT_EQ(Receive(fd), R"({"ok":true})");
  (void)Receive(fd);
  control_.fips.enforced = true;
  OfferLinked(1);
  EXPECT_EQ(BlockTypes(Receive(fd).value_or("")).size(), 1u);
}

}  // namespace
}  // namespace cygnet
