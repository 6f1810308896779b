#include "daemon/cluster/etcd_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

using ::testing::HasSubstr;

TEST(EtcdJsonTest, Base64OfAnyBytes) {
  for (const std::string text : {"", "f", "fo", "foo", "foob"}) {
    EXPECT_EQ(FromBase64(Base64(text)), text);
  }
  const std::string bytes("\0\xff\n\x80", 4);
  EXPECT_EQ(Base64(bytes), "AP8KgA==");
  EXPECT_EQ(FromBase64("AP8KgA=="), bytes);
  for (const char* bad :
       {"A", "AP8KgA=", "AP8K gA=", " P8KgA==", "AP8=gA==", "====", "AP8KgA==\n"}) {
    EXPECT_EQ(FromBase64(bad), std::nullopt) << bad;
  }
}

TEST(EtcdJsonTest, ATransactionAsTheGatewayReadsIt) {
  const EtcdTxn txn{.compares = {{"foo", 7}, {.key = "bar", .value = "1"}},
                    .then = {EtcdPut("foo", "1"), EtcdDelete("bar")},
                    .otherwise = {EtcdGet("foo")}};
  EXPECT_EQ(EtcdTxnBody(txn),
            R"({"compare":[{"target":"MOD","result":"EQUAL","key":"Zm9v","mod_revision":"7"},)"
            R"({"target":"VALUE","result":"EQUAL","key":"YmFy","value":"MQ=="}],)"
            R"("success":[{"request_put":{"key":"Zm9v","value":"MQ=="}},)"
            R"({"request_delete_range":{"key":"YmFy"}}],)"
            R"("failure":[{"request_range":{"key":"Zm9v"}}]})");
}

TEST(EtcdJsonTest, ARangeOfAllWithAPrefix) {
  EXPECT_EQ(EtcdGetAll("a/").range_end, "a0");
  EXPECT_EQ(EtcdGetAll("a\xff").range_end, "b");
  EXPECT_EQ(EtcdGetAll("").range_end, std::string(1, '\0'));
}

// As etcd 3.4.23 answered.
TEST(EtcdJsonTest, AnAnswerOfATransaction) {
  const auto answer = ParseEtcdTxn(
      R"({"header":{"cluster_id":"18446744073709551615","member_id":"1","revision":"2"},)"
      R"("responses":[{"response_range":{"header":{"revision":"2"},"kvs":[{"key":"Zm9v",)"
      R"("create_revision":"2","mod_revision":"2","version":"1","value":"MTI="}],"count":"1"}},)"
      R"({"response_range":{"header":{"revision":"2"}}}]})");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->succeeded);
  EXPECT_EQ(answer->header.cluster_id, ~uint64_t{0});
  EXPECT_EQ(answer->header.revision, 2);
  ASSERT_EQ(answer->found.size(), 2u);
  EXPECT_EQ(answer->FoundOne(0).key, "foo");
  EXPECT_EQ(answer->FoundOne(0).value, "12");
  EXPECT_EQ(answer->FoundOne(0).mod_revision, 2);
  EXPECT_EQ(answer->FoundOne(1).mod_revision, 0);
}

TEST(EtcdJsonTest, AnAnswerOfALease) {
  const auto granted = ParseEtcdLease(
      R"({"header":{"cluster_id":"1","revision":"2"},"ID":"12000237715296776","TTL":"3"})");
  ASSERT_TRUE(granted);
  EXPECT_EQ(granted->id, 12000237715296776);
  EXPECT_EQ(granted->ttl_s, 3);
  const auto gone =
      ParseEtcdLease(R"({"result":{"header":{"cluster_id":"1","revision":"2"},"ID":"123"}})");
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->ttl_s, 0);
}

TEST(EtcdJsonTest, WhatIsMalformedIsAnError) {
  const std::string header = R"({"header":{"cluster_id":"1","revision":"2"})";
  for (const std::string& body :
       {std::string(), std::string("[]"), std::string("{}"), std::string("{\"header\":{}}"),
        std::string(R"({"header":{"cluster_id":1,"revision":"2"}})"),
        std::string(R"({"header":{"cluster_id":"1","revision":"-2"}})"),
        std::string(R"({"header":{"cluster_id":"1","revision":"2x"}})"),
        header + R"(,"succeeded":"true"})", header + R"(,"responses":{}})",
        header + R"(,"responses":[1]})", header + R"(,"responses":[{"response_range":1}]})",
        header + R"(,"responses":[{"response_range":{"kvs":[{"key":"?"}]}}]})",
        header + R"(,"responses":[{"response_range":{"kvs":[{"mod_revision":"1e3"}]}}]})"}) {
    const auto answer = ParseEtcdTxn(body);
    ASSERT_FALSE(answer) << body;
    EXPECT_EQ(answer.error().code, Errc::kInvalid);
  }
}

TEST(EtcdJsonTest, WhyEtcdRefused) {
  const Error lease = ParseEtcdError(
      R"({"error":"x","message":"etcdserver: requested lease not found","code":5})", 404);
  EXPECT_EQ(lease.code, Errc::kNoEntry);
  EXPECT_THAT(lease.message, HasSubstr("requested lease not found"));
  EXPECT_EQ(ParseEtcdError(R"({"message":"etcdserver: no leader","code":14})", 503).code,
            Errc::kNetworkDown);
  EXPECT_EQ(ParseEtcdError(R"({"message":"permission denied","code":7})", 403).code, Errc::kAccess);
  EXPECT_EQ(
      ParseEtcdError(R"({"message":"etcdserver: mvcc: database space exceeded","code":8})", 429)
          .code,
      Errc::kNoSpace);
  EXPECT_EQ(ParseEtcdError(R"({"message":"etcdserver: too many requests","code":8})", 429).code,
            Errc::kNetworkDown);
  EXPECT_EQ(ParseEtcdError("<html>", 502).code, Errc::kNetworkDown);
  EXPECT_THAT(ParseEtcdError("<html>", 404).message, HasSubstr("404"));
}

}  // namespace
}  // namespace cygnet
