#include "daemon/cluster/cluster_keys.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(ClusterKeysTest, NamesAreReadBack) {
  EXPECT_EQ(OwnerKey("blue"), "group/blue/owner");
  EXPECT_EQ(GroupOfOwnerKey("group/blue/owner"), "blue");
  EXPECT_EQ(GroupOfOwnerKey("group/blue/x"), std::nullopt);
  EXPECT_EQ(GroupOfOwnerKey("group//owner"), std::nullopt);
  EXPECT_EQ(NodeOfNodeKey(NodeKey("gw1")), "gw1");
  EXPECT_EQ(NodeOfNodeKey("node/"), std::nullopt);
  EXPECT_EQ(NodeOfNodeKey("sa/1"), std::nullopt);
  EXPECT_EQ(HistoryKey("blue", 42), "history/blue/00000000000000000042");
}

TEST(ClusterKeysTest, OwnersAreReadBack) {
  const GroupOwner owner{.node = "gw1",
                         .incarnation = 0xfedcba9876543210,
                         .epoch = 3,
                         .revision = 0,
                         .since_unix_ns = 1'700'000'000'000'000'001};
  const ParsedOwner parsed = ParseOwner(OwnerJson(owner, "192.0.2.11:4511"));
  EXPECT_EQ(parsed.owner.node, owner.node);
  EXPECT_EQ(parsed.owner.incarnation, owner.incarnation);
  EXPECT_EQ(parsed.owner.epoch, owner.epoch);
  EXPECT_EQ(parsed.owner.since_unix_ns, owner.since_unix_ns);
  EXPECT_EQ(parsed.heartbeat, "192.0.2.11:4511");
  EXPECT_EQ(ParseOwner(OwnerJson({}, "")).owner.node, "");
}

TEST(ClusterKeysTest, AnUnreadableOwnerIsNotNobody) {
  for (const char* json : {"", "{", "[]", "7", R"({"node":1})", R"({"node":"a","epoch":"x"})",
                           R"({"node":"a","incarnation":"xyz"})", R"({"node":"a","epoch":-1})"}) {
    EXPECT_EQ(ParseOwner(json).owner.node, "?") << json;
  }
}

TEST(ClusterKeysTest, NodesAreReadBack) {
  const auto key = ParseNode(
      NodeJson({.incarnation = 7, .address = "[2001:db8::1]:4511", .groups = {"a", "b"}}, "0.1.0"));
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->incarnation, 7u);
  EXPECT_EQ(key->address, "[2001:db8::1]:4511");
  EXPECT_EQ(key->groups, (std::vector<std::string>{"a", "b"}));
  for (const char* json : {"", "{}", R"({"incarnation":"0"})", R"({"incarnation":5})"}) {
    EXPECT_FALSE(ParseNode(json).has_value()) << json;
  }
}

}  // namespace
}  // namespace cygnet
