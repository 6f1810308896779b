// The gate: who is answered.
#include "web/gate.h"

#include <gtest/gtest.h>

namespace cygnet::web {
namespace {

constexpr char kToken[] = "0123456789abcdef0123456789abcdef";

int StatusOf(const Gate& gate, const Visit& visit) { return gate.Check(visit).status; }

Visit To(std::string_view host) { return {.method = "GET", .path = "/metrics", .host = host}; }

TEST(GateTest, OnlyReads) {
  const Gate gate({}, "");
  Visit visit = To("localhost:9470");
  EXPECT_EQ(StatusOf(gate, visit), 0);
  visit.method = "HEAD";
  EXPECT_EQ(StatusOf(gate, visit), 0);
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"}) {
    visit.method = method;
    EXPECT_EQ(StatusOf(gate, visit), 405) << method;
  }
}

// A page of another site that makes its own name point to 127.0.0.1 still sends its own name.
TEST(GateTest, NamesOfOthersAreRefused) {
  const Gate gate({"Gateway.Example.org"}, "");
  for (const char* host : {"127.0.0.1:9470", "127.0.0.1", "[::1]:9470", "LOCALHOST:9470",
                           "gateway.example.org", "Gateway.example.org:443", "192.0.2.1:9470"}) {
    EXPECT_EQ(StatusOf(gate, To(host)), 0) << host;
  }
  for (const char* host : {"", "evil.example.net", "localhost.evil.example.net", "[::1",
                           "127.0.0.1.evil.example.net:9470", "2130706433"}) {
    EXPECT_EQ(StatusOf(gate, To(host)), 421) << host;
  }
}

TEST(GateTest, OtherSitesCannotUseConnections) {
  const Gate gate({}, "");
  Visit visit = To("localhost:9470");
  for (const char* site : {"cross-site", "same-site"}) {
    visit.fetch_site = site;
    visit.path = "/events";
    EXPECT_EQ(StatusOf(gate, visit), 403) << site;
    visit.path = "/";  // a link to the page is fine
    EXPECT_EQ(StatusOf(gate, visit), 0) << site;
  }
  visit.path = "/events";
  visit.fetch_site = "same-origin";
  EXPECT_EQ(StatusOf(gate, visit), 0);
}

TEST(GateTest, TokenAsBearerOrPassword) {
  const Gate gate({}, kToken);
  Visit visit = To("localhost:9470");
  EXPECT_EQ(StatusOf(gate, visit), 401);
  const std::string bearer = std::string("Bearer ") + kToken;
  visit.authorization = bearer;
  EXPECT_EQ(StatusOf(gate, visit), 0);
  // "any:0123456789abcdef0123456789abcdef"
  visit.authorization = "Basic YW55OjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm";
  EXPECT_EQ(StatusOf(gate, visit), 0);
  for (const char* wrong : {"Bearer ", "Bearer 0123456789abcdef0123456789abcdee", "Basic YW55Og==",
                            "Basic !", "Basic ", "Digest x", "0123456789abcdef0123456789abcdef"}) {
    visit.authorization = wrong;
    EXPECT_EQ(StatusOf(gate, visit), 401) << wrong;
  }
}

TEST(GateTest, SecretsAreCompared) {
  EXPECT_TRUE(SameSecret("abc", "abc"));
  EXPECT_FALSE(SameSecret("abc", "abd"));
  EXPECT_FALSE(SameSecret("abc", "abcd"));
  EXPECT_FALSE(SameSecret("", "a"));
}

}  // namespace
}  // namespace cygnet::web
