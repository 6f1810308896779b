#include "daemon/fence/wire_fence.h"

#include <gmock/gmock.h>

#include "daemon/fence/wire_link.h"
#include "support/fence_fixture.h"

namespace cygnet {
namespace {

class WireFenceTest : public test::FenceTest {
 protected:
  void Start(FenceOwnership ownership) {
    auto fence = WireFence::Create(ownership);
    ASSERT_TRUE(fence) << fence.error().message;
    fence_ = *std::move(fence);
    fence_->SetNotifier([this](const std::string&, const std::string& what, const std::string&) {
      told_.push_back(what);
    });
    const Status added = fence_->Add("nic0", "wa");
    ASSERT_TRUE(added) << added.error().message;
  }
  // Does what the daemon's loop does. Returns whether there was an event.
  bool Event() {
    std::vector<pollfd> fds;
    for (const int fd : fence_->event_fds()) fds.push_back({fd, POLLIN, 0});
    const bool any = poll(fds.data(), fds.size(), 1000) > 0;
    fence_->OnEvents();
    fence_->Turn(now_ns_ += 25'000'000);
    return any;
  }
  static void Rename(const std::string& from, const std::string& to) {
    ASSERT_TRUE(Run("ip link set " + from + " down; ip link set " + from + " name " + to +
                    "; ip link set " + to + " up"));
  }
  const FenceStatus& status() const { return *fence_->status("nic0"); }

  std::unique_ptr<WireFence> fence_;
  std::vector<std::string> told_;
  uint64_t now_ns_ = 1'000'000'000;
};

TEST_F(WireFenceTest, WhatOthersTakeAwayIsPutBackAtOnce) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kPlain));
  while (fence_->OnEvents(), Event()) {  // caused by the fence itself
    if (now_ns_ > 2'000'000'000) break;
  }
  EXPECT_EQ(status().restored, 0u);
  uint64_t times = 0;
  for (const char* change :
       {"flush ruleset", "delete table netdev cygnet_wa", "flush table netdev cygnet_wa",
        "delete table inet cygnet_wa", "insert rule netdev cygnet_wa egress accept"}) {
    ASSERT_TRUE(Nft(change)) << change;
    EXPECT_TRUE(Event()) << change;
    EXPECT_EQ(status().restored, ++times) << change;
    EXPECT_EQ(status().state, "in-force");
    EXPECT_FALSE(LeavesBy("wa")) << change;
    fence_->OnEvents();
  }
  EXPECT_EQ(told_, std::vector<std::string>{"fence-restored"}) << "one a second";
  now_ns_ += 1'000'000'000;
  ASSERT_TRUE(Nft("flush ruleset"));
  EXPECT_TRUE(Event());
  EXPECT_EQ(status().restored, times + 1);
  EXPECT_EQ(told_, std::vector<std::string>(2, "fence-restored"));
}

TEST_F(WireFenceTest, FiltersOfTcArePutBack) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kOwned));
  if (!status().by_tc) GTEST_SKIP() << "this kernel has no cls_bpf";
  fence_->OnEvents();
  ASSERT_TRUE(Run("tc qdisc del dev wa clsact"));
  EXPECT_TRUE(Event());
  EXPECT_EQ(status().restored, 1u);
  EXPECT_TRUE(Run("tc filter show dev wa egress | grep bpf"));
}

TEST_F(WireFenceTest, FiltersOfTcThatLostARaceAreTriedAgainEverySecond) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kOwned));
  if (!status().by_tc) GTEST_SKIP() << "this kernel has no cls_bpf";
  fence_->OnEvents();
  // Another qdisc occupies their place: they cannot be restored, however often it is tried.
  ASSERT_TRUE(Run("tc qdisc del dev wa clsact; tc qdisc add dev wa ingress"));
  for (int i = 0; i < 3; ++i) (void)Event();
  EXPECT_FALSE(status().by_tc);
  EXPECT_EQ(status().state, "in-force");
  EXPECT_EQ(status().restored, 0u) << "it was not restored";
  EXPECT_NE(status().explanation.find("WARNING: the tc filters are missing"), std::string::npos);
  EXPECT_EQ(told_, std::vector<std::string>{"fence-broken"}) << "once";
  EXPECT_FALSE(LeavesBy("wa"));
  ASSERT_TRUE(Run("tc qdisc del dev wa ingress"));
  now_ns_ += 1'000'000'000;
  fence_->Turn(now_ns_);
  EXPECT_TRUE(status().by_tc);
  EXPECT_EQ(status().restored, 1u);
  EXPECT_EQ(status().explanation.find("WARNING"), std::string::npos);
  EXPECT_EQ(told_.back(), "fence-restored");
}

TEST_F(WireFenceTest, AnotherInterfaceOfTheNameIsShutWhenItComes) {
  for (const FenceOwnership ownership : {FenceOwnership::kOwned, FenceOwnership::kPlain}) {
    told_.clear();
    ASSERT_NO_FATAL_FAILURE(Start(ownership));
    ASSERT_TRUE(Run("ip link del wa"));
    EXPECT_TRUE(Event());
    EXPECT_EQ(told_, std::vector<std::string>{"wire-gone"});
    EXPECT_NE(status().explanation.find("does not exist"), std::string::npos);
    pairs_ = 0;
    ASSERT_TRUE(MakePair("wa"));
    EXPECT_TRUE(Event());
    EXPECT_EQ(told_.back(), "fence-in-force");
    EXPECT_EQ(status().restored, 0u) << "nobody removed it";
    EXPECT_FALSE(LeavesBy("wa"));
    fence_.reset();
    ASSERT_TRUE(FenceMeans::Open()->Release("wa"));
  }
}

TEST_F(WireFenceTest, ARenamedWireIsShutByItsNewName) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kOwned));
  ASSERT_TRUE(Run("ip link set wa down; ip link set wa name wx; ip link set wx up"));
  EXPECT_FALSE(LeavesBy("wx")) << "before the daemon noticed";
  EXPECT_TRUE(Event());
  EXPECT_EQ(told_, std::vector<std::string>{"wire-gone"});
  EXPECT_TRUE(FenceMeans::Open()->Exists("wx"));
  EXPECT_NE(status().explanation.find("it became wx"), std::string::npos);
  EXPECT_FALSE(LeavesBy("wx"));
}

TEST_F(WireFenceTest, ARenamedWireIsWatchedLikeAnother) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kPlain));
  const bool tc = status().by_tc;
  Rename("wa", "wx");
  while (Event() && now_ns_ < 3'000'000'000) {
  }
  for (const char* change : {"nft flush ruleset", "nft delete table netdev cygnet_wx",
                             "nft delete table inet cygnet_wx", "tc qdisc del dev wx clsact"}) {
    if (!tc && std::string(change).find("tc ") == 0) continue;
    ASSERT_TRUE(Run(change));
    EXPECT_TRUE(Event()) << change;
    const FenceReading reading = FenceMeans::Open(FenceOwnership::kPlain)->Read("wx");
    EXPECT_TRUE(reading.complete) << change << ": " << reading.missing;
    EXPECT_EQ(reading.by_tc, tc) << change;
    EXPECT_FALSE(LeavesBy("wx")) << change;
  }
  EXPECT_GE(status().restored, 3u);
  Rename("wx", "wy");
  EXPECT_TRUE(Event());
  EXPECT_NE(status().explanation.find("it became wy"), std::string::npos);
  EXPECT_TRUE(FenceMeans::Open(FenceOwnership::kPlain)->Read("wy").complete);
  EXPECT_FALSE(Nft("list table inet cygnet_wx")) << "it is no longer needed";
  ASSERT_TRUE(Run("ip link add br0 type bridge; ip link set wy master br0; ip link set br0 up"));
  (void)Event();
  EXPECT_FALSE(LeavesBy("br0")) << "by a bridge";
  ASSERT_TRUE(Run("ip link del br0"));
  Rename("wy", "wa");
  EXPECT_TRUE(Event());
  EXPECT_EQ(told_.back(), "fence-in-force");
  EXPECT_FALSE(Nft("list table inet cygnet_wy")) << "the wire has its name again";
  EXPECT_FALSE(LeavesBy("wa"));
}

TEST_F(WireFenceTest, OneThatComesBackFromAnotherNamespaceIsKnownByIndexOrAddress) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kOwned));
  const std::string file = ::testing::TempDir() + "/away." + std::to_string(getpid());
  const std::string in_other = "nsenter -n -t $(cat " + file + ") ";
  for (const bool index_taken : {false, true}) {
    SCOPED_TRACE(index_taken);
    const uint32_t index = if_nametoindex("wa");
    ASSERT_TRUE(
        Run("unshare -n sleep 9 & echo $! > " + file + "; sleep 0.3; ip link set wa netns $!"));
    EXPECT_TRUE(Event());
    EXPECT_EQ(told_.back(), "wire-gone");
    if (index_taken) {
      ASSERT_TRUE(
          Run("ip link add other0 index " + std::to_string(index) + " type veth peer name other1"));
    } else {
      ASSERT_TRUE(Run(in_other + "ip link set wa address 02:00:00:00:00:77"));
    }
    fence_->OnEvents();
    ASSERT_TRUE(Run(in_other + "ip link set wa name wq"));
    ASSERT_TRUE(Run(in_other + "ip link set wq netns " + std::to_string(getpid())));
    ASSERT_TRUE(Run("ip link set wq up"));
    EXPECT_EQ(if_nametoindex("wq") == index, !index_taken);
    EXPECT_TRUE(Event());
    EXPECT_NE(status().explanation.find("it became wq"), std::string::npos) << status().explanation;
    EXPECT_TRUE(FenceMeans::Open()->Exists("wq"));
    EXPECT_FALSE(LeavesBy("wq"));
    Rename("wq", "wa");
    EXPECT_TRUE(Event());
    EXPECT_EQ(told_.back(), "fence-in-force");
    EXPECT_EQ(status().explanation.find("it became"), std::string::npos);
  }
  std::remove(file.c_str());
}

// The daemon was stopped meanwhile, or too slow: it gets no event and must look at the interfaces.
TEST_F(WireFenceTest, WhatHappenedUnseenEndsAsIfItHadBeenSeen) {
  const std::string make =
      "ip link add other index 4242 address 02:00:00:00:00:77 type veth peer name peer0; "
      "ip link set other up; ip link set peer0 up";
  ASSERT_TRUE(Run("ip link set wa address 02:00:00:00:00:77"));
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kPlain));
  const uint32_t before = IdentityOf("wa").ifindex;
  ASSERT_TRUE(Run("ip link del wa; " + make));
  (void)Event();
  EXPECT_FALSE(LeavesBy("other")) << "another name and index";
  EXPECT_THAT(status().explanation, testing::HasSubstr("it became other"));
  ASSERT_TRUE(Run("ip link del other"));
  (void)Event();
  EXPECT_THAT(status().explanation, testing::HasSubstr("does not exist"));
  ASSERT_TRUE(Run("ip link add stranger index " + std::to_string(before) +
                  " type veth peer name far; " + make));
  (void)Event();
  EXPECT_FALSE(LeavesBy("other")) << "another interface has its index";
  ASSERT_TRUE(
      Run("ip link del stranger; ip link del other; ip link add wa index 4242 "
          "address 02:00:00:00:00:77 type veth peer name peer0; ip link set wa up; "
          "ip link set peer0 up"));
  (void)Event();
  EXPECT_FALSE(LeavesBy("wa")) << "back";
  const uint64_t restored = status().restored;
  ASSERT_TRUE(
      Run("ip link del wa; ip link add wa index 4242 address 02:00:00:00:00:77 type veth "
          "peer name peer0; ip link set wa up; ip link set peer0 up"));
  (void)Event();
  EXPECT_FALSE(LeavesBy("wa")) << "the same name and index";
  EXPECT_EQ(status().restored, restored + 1);
  EXPECT_EQ(status().state, "in-force");
}

TEST_F(WireFenceTest, AnUnseenReturnBesideANewOwnerOfItsNameAndIndexIsShut) {
  ASSERT_TRUE(Run("ip link set wa address 02:00:00:00:00:77"));
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kPlain));
  const std::string index = std::to_string(IdentityOf("wa").ifindex);
  ASSERT_TRUE(Run("ip link del wa; ip link add wa index " + index +
                  " type veth peer name far; ip link set wa up; ip link set far up; "
                  "ip link add other address 02:00:00:00:00:77 type veth peer name peer0; "
                  "ip link set other up; ip link set peer0 up"));
  (void)Event();
  EXPECT_FALSE(LeavesBy("other"));
  EXPECT_EQ(status().explanation.find("does not exist"), std::string::npos);
  EXPECT_THAT(status().explanation, testing::HasSubstr("it became other"));
}

// Without the events nobody can tell which of the two is the wire: both are shut.
TEST_F(WireFenceTest, AnUnseenReturnBesideANewOwnerOfItsIndexIsShut) {
  ASSERT_TRUE(Run("ip link set wa address 02:00:00:00:00:77"));
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kPlain));
  const std::string index = std::to_string(IdentityOf("wa").ifindex);
  ASSERT_TRUE(Run("ip link del wa; ip link add stranger index " + index +
                  " type veth peer name far; ip link set stranger up; ip link set far up; "
                  "ip link add other address 02:00:00:00:00:77 type veth peer name peer0; "
                  "ip link set other up; ip link set peer0 up"));
  (void)Event();
  EXPECT_FALSE(LeavesBy("other"));
  EXPECT_THAT(status().explanation, testing::HasSubstr("it became other"));
  EXPECT_THAT(status().explanation, testing::HasSubstr("it became stranger"));
}

TEST_F(WireFenceTest, AWireThatLeavesTheNamespaceIsTold) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kOwned));
  ASSERT_TRUE(Run("unshare -n sleep 3 & sleep 0.3; ip link set wa netns $!"));
  EXPECT_TRUE(Event());
  EXPECT_EQ(told_, std::vector<std::string>{"wire-gone"});
}

TEST_F(WireFenceTest, WithoutAnyMeansTheLinkGoesDown) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kPlain));
  // Another socket owns a table of that name: ours cannot be restored.
  ASSERT_TRUE(Nft("flush ruleset"));
  ASSERT_TRUE(Run("tc qdisc del dev wa clsact"));
  FenceMeans other = *FenceMeans::Open(FenceOwnership::kOwned);
  ASSERT_TRUE(other.Shut("wa"));
  if (!other.owned()) GTEST_SKIP() << "this kernel has no owned tables that persist";
  ASSERT_TRUE(Run("tc qdisc del dev wa clsact"));
  EXPECT_TRUE(Event());
  EXPECT_EQ(status().state, "broken");
  EXPECT_FALSE(IsUp("wa"));
  EXPECT_EQ(told_, std::vector<std::string>{"fence-broken"});
  ASSERT_TRUE(other.Release("wa"));
  EXPECT_TRUE(Event());
  EXPECT_EQ(status().state, "in-force");
  EXPECT_TRUE(IsUp("wa"));
}

TEST_F(WireFenceTest, AddressesOfPeopleAreShown) {
  ASSERT_NO_FATAL_FAILURE(Start(FenceOwnership::kOwned));
  ASSERT_TRUE(Run("ip addr add 192.0.2.5/24 dev wa"));
  EXPECT_TRUE(Event());
  EXPECT_NE(status().explanation.find("192.0.2.5"), std::string::npos);
  ASSERT_TRUE(Run("ip addr del 192.0.2.5/24 dev wa"));
  EXPECT_TRUE(Event());
  EXPECT_EQ(status().explanation, "");
}

}  // namespace
}  // namespace cygnet
