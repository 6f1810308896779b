#include "daemon/store/restart_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/log.h"
#include "crypto/algorithm.h"
#include "support/fake_xfrm_control.h"
#include "support/file_size_limit.h"
#include "support/foreign_lock.h"

namespace cygnet {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// One run of a daemon: a control plane and its restart log.
struct Life {
  explicit Life(const std::string& path, MissingFile missing = MissingFile::kIsFirstStart,
                InterfaceNames names = {})
      : log(path, std::move(names)) {
    control.journal = &log;
    const Status opened = log.Open(&control, missing);
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
    lost = log.ListLost();
  }
  bool Blocks() const {
    const auto defaults = control.GetDefaults();
    return std::all_of(defaults.begin(), defaults.end(),
                       [](PolicyAction action) { return action == PolicyAction::kBlock; });
  }
  bool LetsPass() const {
    return std::any_of(control.policies.begin(), control.policies.end(), [](const PolicyView& p) {
      return p.spec.action == PolicyAction::kAllow && p.spec.templates.empty();
    });
  }
  RestartLog log;
  test::FakeXfrmControl control;
  std::vector<LostSa> lost;
};

class RestartLogTest : public testing::Test {
 protected:
  RestartLogTest() {
    folder_ = std::filesystem::temp_directory_path() /
              ("cygnet-restart-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "restart";
  }
  ~RestartLogTest() override { std::filesystem::remove_all(folder_); }

  std::string FileBytes() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }

  static PolicySpec PolicyTo(const char* net, PolicyDirection direction = PolicyDirection::kOut) {
    PolicySpec spec;
    spec.selector.family = IpFamily::kV4;
    spec.selector.daddr = ParseAddress(net)->address;
    spec.selector.prefixlen_d = 16;
    spec.direction = direction;
    spec.priority = 77;
    spec.templates.push_back({.daddr = ParseAddress("192.0.2.2")->address,
                              .saddr = ParseAddress("192.0.2.1")->address,
                              .spi = {},
                              .family = IpFamily::kV4,
                              .proto = 50,
                              .mode = 1,
                              .reqid = Reqid(3)});
    return spec;
  }

  static SaSpec SaOf(uint32_t spi) {
    SaSpec spec;
    spec.family = IpFamily::kV4;
    spec.saddr = ParseAddress("192.0.2.1")->address;
    spec.daddr = ParseAddress("192.0.2.2")->address;
    spec.spi = Spi(spi);
    spec.proto = 50;
    spec.reqid = Reqid(3);
    return spec;
  }

  static constexpr PolicyAction kAllow = PolicyAction::kAllow;
  std::string MakeFile();
  void Write(const std::string& bytes) const {
    std::filesystem::remove(path_);
    std::ofstream(path_, std::ios::binary) << bytes;
    chmod(path_.c_str(), 0600);
    test::WriteForeignLock(path_);
  }
  std::filesystem::path folder_;
  std::string path_;
};

// It costs a second with 100,000 SAs.
TEST_F(RestartLogTest, AStartWritesAnewOnlyWhatHasMoreThanNeeded) {
  const auto file = [this] {
    struct stat info {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info.st_ino;
  };
  const auto add = [](Life* life, const char* net) {
    EXPECT_TRUE(life->control.AddPolicy(PolicyTo(net), {}));
  };
  {
    Life life(path_);
    add(&life, "10.1.0.0");
    EXPECT_TRUE(life.control.AddSa(SaOf(0x1000), {}));
    life.log.Stop();
  }
  const ino_t orderly = file();
  {
    Life life(path_);
    EXPECT_EQ(file(), orderly);
    EXPECT_THAT(life.control.policies, SizeIs(1));
    EXPECT_THAT(life.lost, SizeIs(1));
    add(&life, "10.2.0.0");
  }
  EXPECT_EQ(file(), orderly);
  {
    Life life(path_);  // after a crash, in which nothing was changed twice
    EXPECT_EQ(file(), orderly);
    EXPECT_THAT(life.control.policies, SizeIs(2));
    EXPECT_TRUE(life.control.DeletePolicy(
        {.selector = PolicyTo("10.1.0.0").selector, .direction = PolicyDirection::kOut}, {}));
  }
  const Life life(path_);
  EXPECT_NE(file(), orderly) << "it had a policy, and its end";
  EXPECT_THAT(life.control.policies, SizeIs(1));
}

TEST_F(RestartLogTest, FirstLifeFindsNothing) {
  const Life life(path_);
  EXPECT_THAT(life.lost, IsEmpty());
  EXPECT_THAT(life.control.policies, IsEmpty());
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(RestartLogTest, SaysHowManyOfThePoliciesLetPass) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    PolicySpec bypass = PolicyTo("10.3.0.0");
    bypass.templates.clear();
    ASSERT_TRUE(life.control.AddPolicy(bypass, {}));
    bypass = PolicyTo("10.4.0.0");
    bypass.templates.clear();
    bypass.action = PolicyAction::kBlock;
    ASSERT_TRUE(life.control.AddPolicy(bypass, {}));
  }
  static std::string said;
  SetLogSink([](LogLevel, std::string_view text) { said = text; });
  const Life life(path_);
  SetLogSink([](LogLevel, std::string_view) {});
  EXPECT_THAT(said, HasSubstr("3 policies restored, 1 of them let traffic pass in clear"));
}

TEST_F(RestartLogTest, PoliciesComeBackAndSasAreLost) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.4.0.0", PolicyDirection::kIn), {}));
    const PolicyId gone{.selector = PolicyTo("10.3.0.0").selector};
    ASSERT_TRUE(life.control.DeletePolicy(gone, {}));
    for (const uint32_t spi : {0x1001u, 0x1002u, 0x1003u}) {
      ASSERT_TRUE(life.control.AddSa(SaOf(spi), {}));
    }
    ASSERT_TRUE(life.control.DeleteSa(
        {.daddr = SaOf(1).daddr, .spi = Spi(0x1002), .proto = 50, .family = IpFamily::kV4}, {}));
  }
  for (int i = 0; i < 2; ++i) {  // no client was notified: the third run still has them
    const Life life(path_);
    ASSERT_THAT(life.control.policies, SizeIs(2));
    EXPECT_EQ(life.control.policies[0].spec.selector, PolicyTo("10.2.0.0").selector);
    EXPECT_EQ(life.control.policies[0].spec.priority, 77u);
    EXPECT_EQ(life.control.policies[0].spec.templates, PolicyTo("10.2.0.0").templates);
    EXPECT_EQ(life.control.policies[1].spec.direction, PolicyDirection::kIn);
    ASSERT_THAT(life.lost, SizeIs(2));
    EXPECT_EQ(life.lost[0].id.spi, Spi(0x1001));
    EXPECT_EQ(life.lost[1].id.spi, Spi(0x1003));
    constexpr std::size_t kHard = 16 + 224;  // behind nlmsghdr and xfrm_usersa_info
    EXPECT_EQ(life.lost[0].expiry.at(kHard), 0)
        << "key management deletes policies at a hard expiry";
    EXPECT_THAT(life.control.sas, IsEmpty());
  }
}

TEST_F(RestartLogTest, OffloadedPoliciesComeBackWithTheirOffloadOrBlockWithoutIt) {
  const OffloadRequest request{.mode = OffloadMode::kPacket, .ifindex = 7, .inbound = true};
  {
    Life life(path_);
    PolicySpec spec = PolicyTo("10.2.0.0", PolicyDirection::kIn);
    spec.offload = request;
    ASSERT_TRUE(life.control.AddPolicy(spec, {}));
  }
  {
    const Life life(path_);
    ASSERT_THAT(life.control.policies, SizeIs(1));
    EXPECT_EQ(life.control.policies[0].spec.offload, request);
  }
  RestartLog log(path_);
  test::FakeXfrmControl control;
  control.policy_offload_error = MakeError(Errc::kInvalid, "Policy offload is not supported");
  ASSERT_TRUE(log.Open(&control, MissingFile::kIsDamage).has_value());
  ASSERT_THAT(control.policies, SizeIs(1));
  EXPECT_EQ(control.policies[0].spec.offload, std::nullopt);
  EXPECT_THAT(control.policies[0].spec.templates, SizeIs(1)) << "nothing passes without an SA";
}

using Numbers = std::map<std::string, int32_t>;

InterfaceNames NamesOf(const Numbers& numbers) {
  const auto name_of = [numbers](int32_t number) -> std::string {
    for (const auto& [name, its_number] : numbers) {
      if (its_number == number) return name;
    }
    return {};
  };
  const auto number_of = [numbers](const std::string& name) {
    const auto found = numbers.find(name);
    return found == numbers.end() ? 0 : found->second;
  };
  return {.name_of = name_of, .number_of = number_of};
}

TEST_F(RestartLogTest, APolicyKeepsTheTimeWhenItWasAdded) {
  {
    Life life(path_);
    life.control.policy_add_time = 1234;
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
  }
  Life life(path_);
  ASSERT_THAT(life.control.policies, SizeIs(1));
  EXPECT_EQ(life.control.policies[0].usage.add_time, 1234u);
  EXPECT_EQ(life.control.policy_times_checked, 1) << "its time may be over";
}

// Both numbers belong to another interface after the restart.
TEST_F(RestartLogTest, APolicyFollowsItsInterfaceToItsNewNumber) {
  PolicySpec one = PolicyTo("10.2.0.0");
  one.selector.ifindex = 7;
  PolicySpec other = PolicyTo("10.2.0.0");
  other.selector.ifindex = 8;
  other.offload = OffloadRequest{.mode = OffloadMode::kPacket, .ifindex = 8, .inbound = false};
  {
    Life life(path_, MissingFile::kIsFirstStart, NamesOf({{"nic0", 7}, {"nic1", 8}}));
    for (const PolicySpec& spec : {one, other}) ASSERT_TRUE(life.control.AddPolicy(spec, {}));
  }
  {
    Life life(path_, MissingFile::kIsFirstStart, NamesOf({{"nic0", 8}, {"nic1", 7}}));
    EXPECT_EQ(life.log.damage(), "");
    ASSERT_THAT(life.control.policies, SizeIs(2));
    EXPECT_EQ(life.control.policies[0].spec.selector.ifindex, 8);
    EXPECT_EQ(life.control.policies[1].spec.selector.ifindex, 7);
    EXPECT_EQ(life.control.policies[1].spec.offload->ifindex, 7);
    // The end of the policy on nic1 has its present number, its beginning the one of before.
    ASSERT_TRUE(life.control.DeletePolicy(IdOf(life.control.policies[1].spec), {}));
  }
  const Life life(path_, MissingFile::kIsFirstStart, NamesOf({{"nic0", 5}, {"nic1", 8}}));
  EXPECT_EQ(life.log.damage(), "");
  ASSERT_THAT(life.control.policies, SizeIs(1));
  EXPECT_EQ(life.control.policies[0].spec.selector.ifindex, 5);
}

TEST_F(RestartLogTest, APolicyWhoseInterfaceIsGoneBlocksUntilItIsBack) {
  const Numbers with = {{"nic0", 7}, {"nic1", 8}};
  const Numbers without = {{"nic0", 8}};  // has the number of before of the other
  PolicySpec spec = PolicyTo("10.2.0.0");
  const PolicySpec everywhere = spec;
  spec.selector.ifindex = 8;
  spec.if_id = 3;
  {
    Life life(path_, MissingFile::kIsFirstStart, NamesOf(with));
    ASSERT_TRUE(life.control.AddPolicy(spec, {}));
    spec.priority = 5;
    ASSERT_TRUE(life.control.UpdatePolicy(spec, {}));
    ASSERT_TRUE(life.control.AddPolicy(everywhere, {}));
  }
  for (int i = 0; i < 2; ++i) {
    const Life life(path_, MissingFile::kIsFirstStart, NamesOf(without));
    EXPECT_EQ(life.log.damage(), "");
    ASSERT_THAT(life.control.policies, SizeIs(2)) << "it replaces no other policy";
    const PolicySpec& stand_in = life.control.policies[0].spec;
    EXPECT_TRUE(stand_in.blocks());
    EXPECT_TRUE(stand_in.of_tunnel()) << "else control would not keep it unmet";
    EXPECT_TRUE(IsStandIn(stand_in));
    EXPECT_FALSE(IsStandIn(life.control.policies[1].spec));
    EXPECT_NE(stand_in.if_id, 3u);
    EXPECT_EQ(stand_in.priority, 5u);
    EXPECT_EQ(stand_in.selector, everywhere.selector);
    EXPECT_FALSE(life.control.policies[1].spec.blocks());
  }
  Life life(path_, MissingFile::kIsFirstStart, NamesOf(with));
  ASSERT_THAT(life.control.policies, SizeIs(2));
  EXPECT_EQ(life.control.policies[0].spec.selector, spec.selector);
  EXPECT_EQ(life.control.policies[0].spec.if_id, 3u);
  EXPECT_FALSE(life.control.policies[0].spec.unmet);
}

TEST_F(RestartLogTest, AStandInThatWasDeletedStaysAway) {
  const Numbers with = {{"nic0", 7}, {"nic1", 8}};
  PolicySpec spec = PolicyTo("10.2.0.0");
  spec.selector.ifindex = 8;
  {
    Life life(path_, MissingFile::kIsFirstStart, NamesOf(with));
    ASSERT_TRUE(life.control.AddPolicy(spec, {}));
  }
  for (int i = 0; i < 2; ++i) {
    Life life(path_, MissingFile::kIsFirstStart, NamesOf({{"nic0", 8}}));
    EXPECT_EQ(life.log.damage(), "");
    ASSERT_EQ(life.control.policies.size(), i == 0 ? 1u : 0u);
    if (i != 0) continue;
    ASSERT_TRUE(life.control.DeletePolicy(IdOf(life.control.policies[0].spec), {}));
  }
  const Life life(path_, MissingFile::kIsFirstStart, NamesOf(with));
  EXPECT_THAT(life.control.policies, IsEmpty());
}

// As versions before wrote them. A number says something only while the interfaces stay.
TEST_F(RestartLogTest, ANumberWithoutANameCountsOnlyWhileInterfacesStay) {
  PolicySpec spec = PolicyTo("10.2.0.0");
  spec.selector.ifindex = 8;
  const auto write = [&] {
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + ".lock");
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(spec, {}));
  };
  const auto names = NamesOf({{"nic0", 8}});
  write();
  {
    const Life life(path_, MissingFile::kIsDamage, names);
    ASSERT_THAT(life.control.policies, SizeIs(1));
    EXPECT_EQ(life.control.policies[0].spec.selector.ifindex, 8);
  }
  write();
  for (const MissingFile missing : {MissingFile::kIsFirstStart, MissingFile::kIsDamage}) {
    const Life life(path_, missing, names);
    EXPECT_EQ(life.log.damage(), "");
    ASSERT_THAT(life.control.policies, SizeIs(1));
    EXPECT_EQ(life.control.policies[0].spec.selector.ifindex, 0);
    EXPECT_TRUE(life.control.policies[0].spec.blocks());
  }
}

TEST_F(RestartLogTest, NamesThatAreCutShortAreNotRead) {
  const netlink::Buffer whole = WithNames({{7, "nic0"}, {-1, "x"}}, {1, 2, 3});
  const auto read = ReadNamed(whole);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->names, (NamesByNumber{{7, "nic0"}, {-1, "x"}}));
  EXPECT_THAT(read->message, testing::ElementsAre(1, 2, 3));
  for (std::size_t size = 0; size < whole.size() - 3; ++size) {
    EXPECT_FALSE(ReadNamed(std::span(whole).first(size)).has_value()) << size;
  }
}

// An updated policy keeps its place: it is restored in front of younger ones.
TEST_F(RestartLogTest, PoliciesComeBackInTheirTurn) {
  {
    RestartLog log(path_);
    test::FakeXfrmControl control;
    ASSERT_TRUE(control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    ASSERT_TRUE(control.AddPolicy(PolicyTo("10.3.0.0"), {}));
    for (PolicyView& view : control.policies) {
      view.place = view.spec.selector == PolicyTo("10.2.0.0").selector ? 2 : 1;
    }
    ASSERT_TRUE(log.Open(&control, MissingFile::kIsFirstStart));
  }
  const Life next(path_);
  ASSERT_THAT(next.control.ListPolicies(), SizeIs(2));
  EXPECT_EQ(next.control.ListPolicies()[0].spec.selector, PolicyTo("10.2.0.0").selector);
}

TEST_F(RestartLogTest, SasThatComeBackAreNotLost) {
  {
    Life life(path_);
    for (const uint32_t spi : {0x1001u, 0x1002u}) {
      ASSERT_TRUE(life.control.AddSa(SaOf(spi), {}));
    }
  }
  Life life(path_);
  ASSERT_THAT(life.lost, SizeIs(2));
  const SaPtr restored = MakeSharedSa(SaOf(0x1001), uint64_t{1}, uint64_t{0});
  ASSERT_TRUE(life.log.PrepareRestored(restored));
  ASSERT_THAT(life.log.ListLost(), SizeIs(1));
  EXPECT_EQ(life.log.ListLost()[0].id.spi, Spi(0x1002));
}

TEST_F(RestartLogTest, WhatIsFlushedIsGone) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    ASSERT_TRUE(life.control.AddSa(SaOf(0x1001), {}));
    EXPECT_TRUE(life.control.FlushPolicies(PolicyType::kMain, {}));
    EXPECT_TRUE(life.control.FlushSas(255, {}));
    ASSERT_TRUE(life.control.AddSa(SaOf(0x1002), {}));
  }
  const Life life(path_);
  EXPECT_THAT(life.control.policies, IsEmpty());
  ASSERT_THAT(life.lost, SizeIs(1));
  EXPECT_EQ(life.lost[0].id.spi, Spi(0x1002));
}

TEST_F(RestartLogTest, HoldsNoKeys) {
  const std::string key = "a key that nobody may see";
  Life life(path_);
  SaSpec spec = SaOf(0x1001);
  spec.aead.descriptor = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  spec.aead.key = KeyMaterial({reinterpret_cast<const uint8_t*>(key.data()), 20});
  ASSERT_TRUE(life.control.AddSa(std::move(spec), {}));
  EXPECT_THAT(FileBytes(), Not(IsEmpty()));
  EXPECT_THAT(FileBytes(), Not(HasSubstr(key.substr(0, 8))));
}

// A policy that protects, one that blocks, one that allows clear traffic; a default and an SA.
std::string RestartLogTest::MakeFile() {
  Life life(path_);
  PolicySpec block = PolicyTo("10.3.0.0");
  block.templates.clear();
  block.action = PolicyAction::kBlock;
  PolicySpec pass = PolicyTo("10.4.0.0");
  pass.templates.clear();
  EXPECT_TRUE(life.control.AddPolicy(pass, {}));
  EXPECT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
  EXPECT_TRUE(life.control.AddPolicy(block, {}));
  EXPECT_TRUE(life.control.SetDefaults({std::nullopt, kAllow, std::nullopt}, {}));
  EXPECT_TRUE(life.control.AddSa(SaOf(0x1001), {}));
  return FileBytes();
}

TEST_F(RestartLogTest, EveryTruncationBlocks) {
  const std::string whole = MakeFile();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Write(whole.substr(0, size));
    const Life life(path_);
    ASSERT_FALSE(life.log.damage().empty()) << size;
    ASSERT_TRUE(life.Blocks()) << size;
    ASSERT_FALSE(life.LetsPass()) << size;
    ASSERT_LE(life.control.policies.size(), 2u);
  }
  Write(whole);
  const Life life(path_);
  EXPECT_EQ(life.log.damage(), "");
  EXPECT_FALSE(life.Blocks());
  EXPECT_THAT(life.control.policies, SizeIs(3));
}

TEST_F(RestartLogTest, EveryChangedByteBlocks) {
  const std::string whole = MakeFile();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(static_cast<uint8_t>(changed[at]) ^ (1u << (at % 8)));
    Write(changed);
    const Life life(path_);
    ASSERT_FALSE(life.log.damage().empty()) << at;
    ASSERT_TRUE(life.Blocks()) << at;
    ASSERT_FALSE(life.LetsPass()) << at;
  }
}

TEST_F(RestartLogTest, TheBlockLastsUntilTheStateIsSet) {
  MakeFile();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  for (int life_number = 0; life_number < 3; ++life_number) {
    Life life(path_);
    EXPECT_THAT(life.log.damage(), HasSubstr("cut short")) << life_number;
    EXPECT_TRUE(life.Blocks());
    EXPECT_THAT(life.control.policies, SizeIs(2u + static_cast<std::size_t>(life_number)));
    // Adding a policy does not settle the state of the others; the next run has it.
    PolicySpec more = PolicyTo("10.9.0.0");
    more.selector.daddr.bytes[1] = static_cast<uint8_t>(10 + life_number);
    more.templates.clear();
    EXPECT_TRUE(life.control.AddPolicy(more, {}));
    // Setting only some of the defaults does not, either.
    EXPECT_TRUE(life.control.SetDefaults({std::nullopt, PolicyAction::kBlock, std::nullopt}, {}));
  }
}

TEST_F(RestartLogTest, AFlushSetsTheState) {
  MakeFile();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  {
    Life life(path_);
    ASSERT_TRUE(life.control.FlushPolicies(PolicyType::kMain, {}));
    EXPECT_EQ(life.log.damage(), "");
    EXPECT_FALSE(life.Blocks()) << "the file's defaults";
  }
  const Life life(path_);
  EXPECT_EQ(life.log.damage(), "");
  EXPECT_FALSE(life.Blocks());
  EXPECT_THAT(life.control.policies, IsEmpty());
}

TEST_F(RestartLogTest, WhereTheDefaultsAreUnknownAFlushDoesNotOpen) {
  Write("no such thing, however long it is");
  Life life(path_);
  ASSERT_TRUE(life.control.FlushPolicies(PolicyType::kMain, {}));
  EXPECT_THAT(life.log.damage(), HasSubstr("no record at byte 0"));
  EXPECT_TRUE(life.Blocks());
  ASSERT_TRUE(life.control.SetDefaults({kAllow, std::nullopt, std::nullopt}, {}));
  EXPECT_NE(life.log.damage(), "");
  ASSERT_TRUE(life.control.SetDefaults({std::nullopt, kAllow, kAllow}, {}));
  EXPECT_EQ(life.log.damage(), "");
}

TEST_F(RestartLogTest, TheOperatorAccepts) {
  MakeFile();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  {
    Life life(path_);
    EXPECT_TRUE(life.log.Accept());
    EXPECT_FALSE(life.Blocks());
    EXPECT_THAT(life.control.policies, SizeIs(2))
        << "a policy that allows clear traffic is not restored";
    EXPECT_EQ(life.log.Accept().error().code, Errc::kNoEntry);
  }
  EXPECT_EQ(Life(path_).log.damage(), "");
}

TEST_F(RestartLogTest, AMissingFileIsAFirstStartOrDamage) {
  EXPECT_EQ(Life(path_).log.damage(), "");
  std::filesystem::remove(path_);
  const Life life(path_, MissingFile::kIsDamage);
  EXPECT_THAT(life.log.damage(), HasSubstr("missing"));
  EXPECT_TRUE(life.Blocks());
}

TEST_F(RestartLogTest, AFileOfOthersBlocks) {
  MakeFile();
  chmod(path_.c_str(), 0666);
  {
    const Life life(path_);
    EXPECT_THAT(life.log.damage(), HasSubstr("other users may write it"));
    EXPECT_TRUE(life.Blocks());
  }
  std::filesystem::rename(path_, path_ + "-real");
  std::filesystem::create_symlink(path_ + "-real", path_);
  EXPECT_THAT(Life(path_).log.damage(), HasSubstr("symbolic link"));
}

TEST_F(RestartLogTest, AnEarlierFormatBlocks) {
  RecordFile::Image image;
  image.Add(1, {});
  const auto bytes = image.Finish();
  Write({bytes.begin(), bytes.end()});
  EXPECT_THAT(Life(path_).log.damage(), HasSubstr("record 1 cannot be understood"));
}

TEST_F(RestartLogTest, WhatCannotBeWrittenIsRefused) {
  auto life = std::make_unique<Life>(path_);
  const PolicySpec first = PolicyTo("10.2.0.0");
  ASSERT_TRUE(life->control.AddPolicy(first, {}));
  ASSERT_TRUE(life->control.AddSa(SaOf(0x1001), {}));
  const std::string before = FileBytes();
  {
    const test::FileSizeLimit full(before.size());
    const Status refused = life->control.AddPolicy(PolicyTo("10.3.0.0"), {});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("restart file"));
    EXPECT_FALSE(life->control.UpdatePolicy(first, {}));
    EXPECT_FALSE(life->control.DeletePolicy({.selector = first.selector}, {}));
    EXPECT_FALSE(life->control.FlushPolicies(PolicyType::kMain, {}));
    EXPECT_FALSE(life->control.SetDefaults({kAllow, kAllow, kAllow}, {}));
    EXPECT_FALSE(life->control.AddSa(SaOf(0x1002), {}));
    EXPECT_EQ(FileBytes(), before);
    EXPECT_THAT(life->control.policies, SizeIs(1));
    EXPECT_THAT(life->control.sas, SizeIs(1));
    EXPECT_FALSE(life->log.error().empty());
  }
  ASSERT_TRUE(life->control.AddPolicy(PolicyTo("10.3.0.0"), {})) << "there is room again";
  EXPECT_EQ(life->log.error(), "");
  life.reset();
  const Life next(path_);
  EXPECT_THAT(next.control.policies, SizeIs(2));
}

// Deleting an SA removes its keys even if the disk is full.
TEST_F(RestartLogTest, AnSaGoesOnAFullDisk) {
  auto life = std::make_unique<Life>(path_);
  ASSERT_TRUE(life->control.AddSa(SaOf(0x1001), {}));
  ASSERT_TRUE(life->control.AddSa(SaOf(0x1002), {}));
  {
    const test::FileSizeLimit full(FileBytes().size());
    EXPECT_TRUE(life->control.DeleteSa(
        {.daddr = SaOf(1).daddr, .spi = Spi(0x1001), .proto = 50, .family = IpFamily::kV4}, {}));
  }
  life->log.Tick();
  life.reset();
  EXPECT_THAT(Life(path_).lost, SizeIs(1));
}

TEST_F(RestartLogTest, APolicyWhoseEndCannotBeWrittenMakesTheFileBlock) {
  auto life = std::make_unique<Life>(path_);
  ASSERT_TRUE(life->control.AddPolicy(PolicyTo("10.2.0.0"), {}));
  std::string cut;
  {
    const test::FileSizeLimit full(FileBytes().size());
    life->log.Note(PolicyExpired{life->control.policies[0], true});
    cut = FileBytes();
  }
  life->log.Tick();
  const std::string mended = FileBytes();
  life.reset();
  Write(cut);
  EXPECT_THAT(Life(path_).log.damage(), HasSubstr("cut short"));
  Write(mended);
  EXPECT_EQ(Life(path_).log.damage(), "");
}

TEST_F(RestartLogTest, LostSasAreForgottenOnceSomebodyWasTold) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddSa(SaOf(0x1001), {}));
  }
  for (int kills = 0; kills < 5; ++kills) {  // each time with a new daemon
    Life life(path_);
    EXPECT_THAT(life.lost, SizeIs(1)) << kills;
    life.log.ForgetLost();
    EXPECT_EQ(life.log.lost(), 0u);
    ASSERT_TRUE(life.control.AddSa(SaOf(0x2001 + static_cast<uint32_t>(kills)), {}));
  }
}

TEST_F(RestartLogTest, AnEndWritesAnewOnlyWhatHasMoreThanNeeded) {
  const auto file = [this] {
    struct stat info {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info.st_ino;
  };
  uint32_t number = 0;
  for (const auto next : {RestartLog::Next::kNobody, RestartLog::Next::kProcess}) {
    Life life(path_);
    life.log.ForgetLost();
    const ino_t begun = file();
    EXPECT_TRUE(life.control.AddSa(SaOf(0x1000 + ++number), {}));
    EXPECT_TRUE(life.control.AddPolicy(PolicyTo(number == 1 ? "10.1.0.0" : "10.2.0.0"), {}));
    life.log.Stop(next);
    EXPECT_EQ(file(), begun);
  }
  {
    Life life(path_);
    EXPECT_THAT(life.control.policies, SizeIs(2));
    EXPECT_THAT(life.lost, SizeIs(1));
    life.log.ForgetLost();
    const ino_t begun = file();
    EXPECT_TRUE(life.control.AddSa(SaOf(0x1002), {}));
    EXPECT_TRUE(life.control.DeleteSa(
        {.daddr = SaOf(0x1002).daddr, .spi = Spi(0x1002), .proto = 50, .family = IpFamily::kV4},
        {}));
    life.log.Stop();
    EXPECT_NE(file(), begun) << "it told of an SA that is gone";
  }
  EXPECT_THAT(Life(path_).lost, IsEmpty());
}

TEST_F(RestartLogTest, AnEndWritesAnewWhatAnErrorMayHaveCut) {
  ino_t begun = 0;
  const auto file = [this] {
    struct stat info {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info.st_ino;
  };
  {
    Life life(path_);
    EXPECT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    begun = file();
    {
      const test::FileSizeLimit full(FileBytes().size());
      EXPECT_FALSE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
    }
    life.log.Stop();
  }
  EXPECT_NE(file(), begun);
  Life after(path_);
  EXPECT_EQ(after.log.damage(), "");
  EXPECT_THAT(after.control.policies, SizeIs(1));
}

TEST_F(RestartLogTest, AnEndDoesNotTakeALarvalSaForOneThatIsWritten) {
  Life life(path_);
  EXPECT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
  EXPECT_TRUE(life.control.AllocateSpi({.spec = SaOf(0), .min = 0x100, .max = 0x100}));
  struct stat before {};
  struct stat after {};
  EXPECT_EQ(stat(path_.c_str(), &before), 0);
  life.log.Stop();
  EXPECT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
}

TEST_F(RestartLogTest, LostSasEndWithAFlushAndAnOrderlyStop) {
  for (const bool flush : {true, false}) {
    {
      Life life(path_);
      ASSERT_TRUE(life.control.AddSa(SaOf(0x1001), {}));
    }
    {
      Life life(path_);
      EXPECT_THAT(life.lost, SizeIs(1));
      if (flush) {
        EXPECT_FALSE(life.control.FlushSas(0, {})) << "this run has no SA";
      } else {
        life.log.Stop();
      }
    }
    EXPECT_THAT(Life(path_).lost, IsEmpty());
  }
}

TEST_F(RestartLogTest, OneDaemonWritesIt) {
  const Life life(path_);
  RestartLog second(path_);
  test::FakeXfrmControl control;
  EXPECT_EQ(second.Open(&control, MissingFile::kIsFirstStart).error().code, Errc::kBusy);
}

TEST_F(RestartLogTest, AFileThatCannotBeWrittenIsAnError) {
  RestartLog log(folder_ / "no/such/folder");
  test::FakeXfrmControl control;
  EXPECT_FALSE(log.Open(&control, MissingFile::kIsFirstStart));
}

// A daemon that starts on a full disk still has its policies.
TEST_F(RestartLogTest, AFullDiskDoesNotTakeThePoliciesAway) {
  const std::string whole = MakeFile();
  {
    const test::FileSizeLimit full(0);
    Life life(path_);
    EXPECT_THAT(life.control.policies, SizeIs(3));
    EXPECT_FALSE(life.log.error().empty());
    EXPECT_FALSE(life.control.AddPolicy(PolicyTo("10.6.0.0"), {}));
  }
  EXPECT_THAT(Life(path_).control.policies, SizeIs(3));
}

// Somebody changes the file while the daemon runs. The next run still has every change that was
// acknowledged to a client.
TEST_F(RestartLogTest, WhatIsDoneToTheFileIsUndone) {
  const std::string old = path_ + ".old";
  const std::vector<std::pair<std::string, std::function<void()>>> mischief = {
      {"was deleted", [&] { std::filesystem::remove(path_); }},
      {"was replaced by another file", [&] { std::filesystem::rename(old, path_); }},
      {"was replaced by something that is not a regular file",
       [&] {
         std::filesystem::remove(path_);
         std::filesystem::create_symlink(old, path_);
       }},
      {"was written by somebody else", [&] { std::filesystem::resize_file(path_, 0); }},
  };
  for (const auto& [what, act] : mischief) {
    for (const bool by_tick : {true, false}) {
      std::filesystem::remove(path_);
      std::filesystem::remove(path_ + ".lock");
      std::filesystem::remove(old);
      {
        Life life(path_);
        std::filesystem::copy_file(path_, old);
        ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
        EXPECT_EQ(life.log.mishaps(), "");
        act();
        if (by_tick) life.log.Tick();
        if (!by_tick) {
          EXPECT_TRUE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
        }
        EXPECT_THAT(life.log.mishaps(), HasSubstr(what + " while cygnetd ran (1 such"));
        EXPECT_EQ(life.log.error(), "");
        life.log.Tick();
        EXPECT_THAT(life.log.mishaps(), HasSubstr("(1 such"))
            << "reported until the end, counted once";
      }
      const Life next(path_);
      EXPECT_EQ(next.log.damage(), "") << what;
      EXPECT_THAT(next.control.policies, SizeIs(by_tick ? 1 : 2)) << what;
    }
  }
}

// The copy has the same length: only the modification time differs.
TEST_F(RestartLogTest, AnOlderCopyThatIsWrittenOverItIsUndone) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    const std::string other(FileBytes().size(), 'x');
    std::fstream(path_, std::ios::binary | std::ios::in | std::ios::out) << other;
    timespec earlier[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), earlier, 0), 0);
    life.log.Tick();
    EXPECT_THAT(life.log.mishaps(), HasSubstr("was written by somebody else"));
  }
  EXPECT_THAT(Life(path_).control.policies, SizeIs(1));
}

// Put in place unseen by the daemon, which then ends.
TEST_F(RestartLogTest, AnOlderCopyThatNobodySawBlocks) {
  const std::string old = path_ + ".old";
  for (const char* when : {"before a change", "of the life before"}) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    {
      Life life(path_);
      PolicySpec pass = PolicyTo("10.4.0.0");
      pass.templates.clear();
      ASSERT_TRUE(life.control.AddPolicy(pass, {}));
      std::filesystem::copy_file(path_, old);
      ASSERT_TRUE(life.control.DeletePolicy(IdOf(pass), {}));
    }
    if (std::string(when) == "of the life before") {
      const Life between(path_);
      EXPECT_EQ(between.log.damage(), "");
    }
    std::filesystem::rename(old, path_);
    for (int life_number = 0; life_number < 2; ++life_number) {
      const Life next(path_);
      EXPECT_THAT(next.log.damage(), HasSubstr("an older copy, or another file")) << when;
      EXPECT_TRUE(next.Blocks()) << when;
      EXPECT_FALSE(next.LetsPass()) << when;
    }
  }
}

TEST_F(RestartLogTest, AFileThatIsGoneBesideItsLockBlocks) {
  MakeFile();
  std::filesystem::remove(path_);
  const Life next(path_);
  EXPECT_THAT(next.log.damage(), HasSubstr("it is missing, but"));
  EXPECT_TRUE(next.Blocks());
}

TEST_F(RestartLogTest, AFileWhoseLockSaysNothingBlocks) {
  const std::string whole = MakeFile();
  for (const char* lock : {"", "cygnet", "no lock"}) {
    Write(whole);
    std::ofstream(path_ + ".lock", std::ios::trunc) << lock;
    if (std::string(lock) == "no lock") std::filesystem::remove(path_ + ".lock");
    const Life next(path_);
    EXPECT_THAT(next.log.damage(), HasSubstr("does not record how far")) << lock;
    EXPECT_TRUE(next.Blocks()) << lock;
  }
}

// The daemon ended between writing a record and updating the anchor, or between two files.
TEST_F(RestartLogTest, AFileThatGotFurtherThanItsLockSaysIsTaken) {
  std::vector<std::string> locks;
  const auto lock = [&] {
    std::ostringstream text;
    text << std::ifstream(path_ + ".lock", std::ios::binary).rdbuf();
    return text.str();
  };
  {
    Life life(path_);
    locks.push_back(lock());
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    locks.push_back(lock());
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
    locks.push_back(lock());
  }
  const std::string whole = FileBytes();
  for (const std::string& earlier : locks) {
    Write(whole);
    std::ofstream(path_ + ".lock", std::ios::trunc) << earlier;
    const Life next(path_);
    EXPECT_EQ(next.log.damage(), "");
    EXPECT_THAT(next.control.policies, SizeIs(2));
  }
}

TEST_F(RestartLogTest, WhatOthersWriteIntoTheLockIsUndone) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    test::WriteForeignLock(path_);
    life.log.Tick();
    EXPECT_THAT(life.log.mishaps(), HasSubstr("restart.lock was written by somebody else"));
    std::filesystem::remove(path_ + ".lock");
    life.log.Tick();
    EXPECT_THAT(life.log.mishaps(), HasSubstr("restart.lock was deleted"));
  }
  const Life next(path_);
  EXPECT_EQ(next.log.damage(), "");
  EXPECT_THAT(next.control.policies, SizeIs(1));
}

TEST_F(RestartLogTest, WhereItCannotBeWrittenAnewChangesAreRefused) {
  Life life(path_);
  std::filesystem::remove(path_);
  std::filesystem::create_directories(path_ + "/sub");
  const Status refused = life.control.AddPolicy(PolicyTo("10.2.0.0"), {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("not done, because the restart file"));
  life.log.Tick();
  EXPECT_THAT(life.log.error(), HasSubstr("was replaced by something that is not a regular file"));
  std::filesystem::remove_all(path_);
  life.log.Tick();
  EXPECT_EQ(life.log.error(), "");
  EXPECT_THAT(life.log.mishaps(), HasSubstr("was deleted"));
  EXPECT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
}

TEST_F(RestartLogTest, OneDaemonWritesItThoughItsLockIsRemoved) {
  Life life(path_);
  ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
  for (int i = 0; i < 2;
       ++i) {  // first the lock on the file itself counts; then PATH.lock exists again
    std::filesystem::remove(path_ + ".lock");
    if (i == 1) life.log.Tick();
    RestartLog second(path_);
    test::FakeXfrmControl control;
    EXPECT_EQ(second.Open(&control, MissingFile::kIsFirstStart).error().code, Errc::kBusy) << i;
  }
  EXPECT_THAT(life.log.mishaps(), HasSubstr("restart.lock was deleted"));
  EXPECT_TRUE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
}

TEST_F(RestartLogTest, WhoLostTheFileToAnotherDaemonRefusesAndLeavesIt) {
  Life first(path_);
  ASSERT_TRUE(first.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
  std::filesystem::remove(path_ + ".lock");
  std::filesystem::remove(path_);
  {
    Life second(path_);
    ASSERT_TRUE(second.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
    const Status refused = first.control.AddPolicy(PolicyTo("10.4.0.0"), {});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("another cygnetd writes this file"));
    first.log.Tick();
    EXPECT_THAT(first.log.error(), HasSubstr("restart.lock was"));
    const std::string bytes = FileBytes();
    first.log.ForgetLost();
    first.log.Stop();
    EXPECT_EQ(FileBytes(), bytes);
  }
  const Life next(path_);
  ASSERT_THAT(next.control.policies, SizeIs(1));
  EXPECT_EQ(next.control.policies[0].spec.selector, PolicyTo("10.3.0.0").selector);
}

}  // namespace
}  // namespace cygnet
