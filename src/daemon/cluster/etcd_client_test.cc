// Requests to a real etcd.
#include "daemon/cluster/etcd_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/etcd_server.h"
#include "support/tcp_relay.h"

namespace cygnet {
namespace {

using test::EtcdServer;
using test::TcpRelay;
using ::testing::HasSubstr;

class EtcdClientTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!EtcdServer::IsInstalled()) GTEST_SKIP() << "etcd-server is not installed";
    etcd_ = std::make_unique<EtcdServer>();
  }
  std::unique_ptr<EtcdServer> etcd_;
};

TEST_F(EtcdClientTest, ATransactionComparesRevisions) {
  EtcdClient client({.endpoints = {etcd_->endpoint()}});
  const EtcdTxn create{
      .compares = {{"k", 0}}, .then = {EtcdPut("k", "1")}, .otherwise = {EtcdGet("k")}};
  const auto first = client.Txn(create, 2000);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->succeeded);
  const auto second = client.Txn(create, 2000);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->succeeded);
  EXPECT_EQ(second->FoundOne(0).value, "1");
  EXPECT_EQ(second->FoundOne(0).mod_revision, first->header.revision);
  EXPECT_NE(second->header.cluster_id, 0u);
}

TEST_F(EtcdClientTest, ALeaseTakesItsKeysAlong) {
  EtcdClient client({.endpoints = {etcd_->endpoint()}});
  const auto lease = client.LeaseGrant(60, 2000);
  ASSERT_TRUE(lease) << lease.error().message;
  ASSERT_TRUE(client.Txn({.then = {EtcdPut("n", "1", lease->id)}}, 2000));
  const auto alive = client.LeaseKeepAlive(lease->id, 2000);
  ASSERT_TRUE(alive) << alive.error().message;
  EXPECT_EQ(alive->ttl_s, 60);
  ASSERT_TRUE(client.LeaseRevoke(lease->id, 2000));
  const auto gone = client.Range(EtcdGet("n"), 2000);
  ASSERT_TRUE(gone);
  EXPECT_TRUE(gone->entries.empty());
  const auto dead = client.LeaseKeepAlive(lease->id, 2000);
  ASSERT_TRUE(dead);
  EXPECT_EQ(dead->ttl_s, 0);
  EXPECT_EQ(client.LeaseRevoke(lease->id, 2000).error().code, Errc::kNoEntry);
}

TEST_F(EtcdClientTest, TheNextEndpointAnswers) {
  TcpRelay deaf(etcd_->port());
  deaf.is_deaf = true;
  const std::string refused = "http://127.0.0.1:" + std::to_string(test::FreePort());
  EtcdClient client({.endpoints = {refused, deaf.endpoint(), etcd_->endpoint()}});
  const auto start = std::chrono::steady_clock::now();
  const auto answer = client.Range(EtcdGet("k"), 600);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(600));
  EXPECT_EQ(client.endpoint(), etcd_->endpoint());
}

TEST_F(EtcdClientTest, NobodyAnswersInTime) {
  TcpRelay deaf(etcd_->port());
  deaf.is_deaf = true;
  EtcdClient client({.endpoints = {deaf.endpoint()}});
  int turns = 0;
  client.SetWhileWaiting([&] { ++turns; });
  const auto start = std::chrono::steady_clock::now();
  const auto answer = client.Range(EtcdGet("k"), 100);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kNetworkDown);
  EXPECT_THAT(answer.error().message, HasSubstr(deaf.endpoint()));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1000));
  EXPECT_GE(turns, 5);
}

TEST_F(EtcdClientTest, StartDoesNotWait) {
  EtcdClient client({.endpoints = {etcd_->endpoint()}});
  client.Start("/v3/kv/range", EtcdRangeBody(EtcdGet("k")), 2000);
  EXPECT_TRUE(client.busy());
  std::optional<Result<std::string>> body;
  while (!(body = client.Poll(5))) {
  }
  EXPECT_FALSE(client.busy());
  ASSERT_TRUE(*body);
  EXPECT_TRUE(ParseEtcdRange(**body));
  client.Start("/v3/kv/range", EtcdRangeBody(EtcdGet("k")), 2000);
  client.Abandon();
  EXPECT_TRUE(client.Range(EtcdGet("k"), 2000));
}

// etcd asks for a certificate, and shows one.
TEST(EtcdClientTlsTest, BothEndsShowACertificate) {
  if (!EtcdServer::IsInstalled()) GTEST_SKIP() << "etcd-server is not installed";
  const EtcdServer etcd(EtcdServer::Transport::kTls);
  EtcdClient good(etcd.params());
  EXPECT_TRUE(good.Txn({.then = {EtcdPut("k", "1")}}, 2000));
  const auto message_with = [](const EtcdParams& params) {
    const auto answer = EtcdClient(params).Range(EtcdGet("k"), 2000);
    EXPECT_FALSE(answer);
    return answer ? std::string() : answer.error().message;
  };
  EtcdParams nobody = etcd.params();
  nobody.certificate.clear();
  nobody.private_key.clear();
  EXPECT_NE(message_with(nobody), "");
  EtcdParams stranger = etcd.params();
  stranger.ca_file = "/etc/ssl/certs/ca-certificates.crt";
  EXPECT_THAT(message_with(stranger), HasSubstr("certificate"));
  EtcdParams by_other_name = etcd.params();
  by_other_name.endpoints = {"https://127.0.0.2:" + std::to_string(etcd.port())};
  EXPECT_NE(message_with(by_other_name), "");
}

}  // namespace
}  // namespace cygnet
