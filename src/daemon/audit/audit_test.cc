// Audit: what is recorded, where, and how often.
#include "daemon/audit/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "base/unique_fd.h"
#include "base/unix_address.h"
#include "support/fake_clock.h"
#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class MemorySink final : public AuditSink {
 public:
  MemorySink(std::vector<AuditRecord>* records, const bool* broken)
      : records_(*records), broken_(*broken) {}
  std::string_view name() const override { return "memory"; }
  Status Write(const AuditRecord& record) override {
    if (broken_) return MakeError(Errc::kIo, "broken");
    records_.push_back(record);
    return {};
  }

 private:
  std::vector<AuditRecord>& records_;
  const bool& broken_;
};

int g_logged = 0;
void CountLog(LogLevel, std::string_view) { ++g_logged; }

class AuditTest : public ::testing::Test {
 protected:
  AuditTest() {
    std::vector<std::unique_ptr<AuditSink>> sinks;
    sinks.push_back(std::make_unique<MemorySink>(&records_, &broken_));
    audit_.emplace(std::move(sinks), &clock_, AuditLimits{.per_second = 2, .burst = 3});
  }

  static std::string Field(const AuditRecord& record, std::string_view name) {
    for (const auto& [known, value] : record.fields) {
      if (known == name) return value;
    }
    return "missing";
  }

  test::FakeClock clock_;
  std::vector<AuditRecord> records_;
  bool broken_ = false;
  std::optional<Audit> audit_;
};

TEST_F(AuditTest, PlacementHasItsFields) {
  audit_->Placement(test::SamplePlacementEntry());
  ASSERT_EQ(records_.size(), 1u);
  const AuditRecord& record = records_[0];
  EXPECT_EQ(record.message,
            "outbound SA to 192.0.2.2 spi 0x00001000: software openssl (device-reset: the device "
            "lost its tables in a reset)");
  EXPECT_EQ(Field(record, "CYGNET_EVENT"), "placement");
  EXPECT_EQ(Field(record, "CYGNET_SA_SPI"), "0x00001000");
  EXPECT_EQ(Field(record, "CYGNET_SA_DST"), "192.0.2.2");
  EXPECT_EQ(Field(record, "CYGNET_DIRECTION"), "out");
  EXPECT_EQ(Field(record, "CYGNET_EFFECTIVE"), "software");
  EXPECT_EQ(Field(record, "CYGNET_WHERE"), "openssl");
  EXPECT_EQ(Field(record, "CYGNET_REASON"), "device-reset");
  EXPECT_TRUE(record.success);
  EXPECT_EQ(LinuxAuditText(record),
            "op=cygnet-placement direction=out sa-spi=0x00001000 sa-src=192.0.2.1 sa-dst=192.0.2.2 "
            "sa-reqid=7 requested=crypto requested-by=client effective=software where=openssl "
            "reason=device-reset");
}

TEST_F(AuditTest, BlockedIsNoSuccess) {
  PlacementEntry entry = test::SamplePlacementEntry();
  entry.effective = "blocked";
  audit_->Placement(entry);
  EXPECT_FALSE(records_[0].success);
  EXPECT_TRUE(records_[0].warning);
}

TEST_F(AuditTest, KeySaysHowItEnded) {
  KeyEntry entry = test::SampleKeyEntry();
  entry.until_ms = 0;
  entry.erased = false;
  audit_->Key(entry);
  audit_->Key(test::SampleKeyEntry());
  entry.until_ms = 5;
  entry.note = "removed";
  audit_->Key(entry);
  ASSERT_EQ(records_.size(), 3u);
  EXPECT_THAT(records_[0].message, StartsWith("device nic0 was given the key of the outbound SA"));
  EXPECT_EQ(Field(records_[0], "CYGNET_KEY"), "given");
  EXPECT_EQ(Field(records_[1], "CYGNET_KEY"), "erased");
  EXPECT_THAT(records_[2].message, EndsWith(": removed"));
  EXPECT_FALSE(records_[2].success);
}

TEST_F(AuditTest, OtherEvents) {
  audit_->Device("nic0", "link-down", "no carrier");
  audit_->GuardHit("nic0", "out-guard", 3);
  FipsRow row;
  row.reason = "fips-unlisted";
  audit_->Fips(row);
  audit_->Command("offload disable dev nic0", 1000, 42);
  ASSERT_EQ(records_.size(), 4u);
  EXPECT_EQ(Field(records_[0], "CYGNET_STATE"), "link-down");
  EXPECT_EQ(Field(records_[1], "CYGNET_PACKETS"), "3");
  EXPECT_EQ(Field(records_[2], "CYGNET_REASON"), "fips-unlisted");
  EXPECT_EQ(records_[3].message, "operator (uid 1000, pid 42): offload disable dev nic0");
}

TEST_F(AuditTest, WrongPacketsNameTheirEvidence) {
  audit_->WrongPackets("nic0", Half::kInbound, 2, "the packet is a replay", "/var/lib/e.pcapng");
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_EQ(records_[0].message,
            "device nic0: shadow verification found 2 wrong packets (in): the packet is a replay; "
            "evidence: /var/lib/e.pcapng");
  EXPECT_EQ(Field(records_[0], "CYGNET_REASON"), "in-verify");
  EXPECT_EQ(Field(records_[0], "CYGNET_EVIDENCE"), "/var/lib/e.pcapng");
  EXPECT_TRUE(records_[0].warning);
  EXPECT_FALSE(records_[0].success);
}

TEST_F(AuditTest, LimitsEachKindAndSaysWhatItLeftOut) {
  for (int i = 0; i < 10; ++i) audit_->Placement(test::SamplePlacementEntry());
  EXPECT_EQ(records_.size(), 3u);
  audit_->Device("nic0", "up", "");  // another kind
  EXPECT_EQ(records_.size(), 4u);
  audit_->Tick();
  EXPECT_EQ(records_.size(), 4u);
  clock_.monotonic_ns += 1'000'000'000;
  audit_->Tick();
  ASSERT_EQ(records_.size(), 5u);
  EXPECT_THAT(records_[4].message, StartsWith("7 records of kind placement suppressed"));
  EXPECT_EQ(Field(records_[4], "CYGNET_SUPPRESSED"), "7");
  audit_->Placement(test::SamplePlacementEntry());
  EXPECT_EQ(records_.size(), 6u);
  audit_->Tick();
  EXPECT_EQ(records_.size(), 6u);
}

TEST_F(AuditTest, FailureIsLoggedOnce) {
  broken_ = true;
  g_logged = 0;
  SetLogSink(CountLog);
  audit_->Device("nic0", "up", "");
  audit_->Device("nic0", "up", "");
  EXPECT_EQ(g_logged, 1);
  EXPECT_EQ(audit_->waiting(), 2u);
  broken_ = false;
  audit_->Flush();
  EXPECT_EQ(records_.size(), 0u) << "each turn of the loop would be too often";
  audit_->Device("nic0", "up", "");
  EXPECT_EQ(records_.size(), 0u) << "each record, too";
  audit_->Tick();
  EXPECT_EQ(records_.size(), 3u) << "they were late, not lost";
  EXPECT_EQ(audit_->waiting() + audit_->lost(), 0u);
  EXPECT_EQ(g_logged, 1);
  SetLogSink([](LogLevel, std::string_view) {});
}

TEST_F(AuditTest, WhatWaitsKeepsItsOrderAndHasABound) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  sinks.push_back(std::make_unique<MemorySink>(&records_, &broken_));
  Audit audit(std::move(sinks), &clock_, AuditLimits{.waiting = 3});
  audit.Device("first", "up", "");
  records_.clear();
  broken_ = true;
  for (int i = 0; i < 5; ++i) audit.Device("nic" + std::to_string(i), "up", "");
  EXPECT_EQ(audit.waiting(), 3u);
  EXPECT_EQ(audit.lost(), 2u);
  broken_ = false;
  audit.Tick();
  ASSERT_EQ(records_.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(Field(records_[i], "CYGNET_DEVICE"), "nic" + std::to_string(i));
  }
  EXPECT_THAT(records_[3].message, StartsWith("2 audit records were lost"));
  EXPECT_EQ(Field(records_[3], "CYGNET_LOST"), "2");
}

// A machine without a journal, or with one that starts later.
TEST_F(AuditTest, WhereNobodyEverListenedNothingIsLost) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  sinks.push_back(std::make_unique<MemorySink>(&records_, &broken_));
  Audit audit(std::move(sinks), &clock_, AuditLimits{.per_second = 1e6, .burst = 1e6});
  broken_ = true;
  for (int i = 0; i < 1000; ++i) audit.Device("nic" + std::to_string(i), "up", "");
  EXPECT_EQ(audit.lost(), 0u);
  EXPECT_EQ(audit.waiting(), 256u);
  broken_ = false;
  audit.Tick();
  ASSERT_EQ(records_.size(), 256u);
  EXPECT_EQ(Field(records_.back(), "CYGNET_DEVICE"), "nic999");
}

TEST_F(AuditTest, ClientsAndWhatTheyDid) {
  audit_->Client({ClientAct::kPolicy, [] { return "policy add dir out"; }}, {.uid = 7, .pid = 8});
  audit_->Client({ClientAct::kProtection, [] { return "policy flush"; }}, {.uid = 7, .pid = 8});
  audit_->Client({ClientAct::kKeys, [] { return "state list, with all keys"; }},
                 {.uid = 7, .pid = 8});
  audit_->Protection("the restart file is incomplete");
  ASSERT_EQ(records_.size(), 4u);
  EXPECT_EQ(records_[0].message, "client (uid 7, pid 8): policy add dir out");
  EXPECT_EQ(Field(records_[0], "CYGNET_EVENT"), "policy");
  EXPECT_EQ(Field(records_[1], "CYGNET_EVENT"), "protection");
  EXPECT_EQ(Field(records_[2], "CYGNET_EVENT"), "keys-shown");
  EXPECT_EQ(Field(records_[2], "CYGNET_REQUEST"), "state list, with all keys");
  EXPECT_EQ(Field(records_[2], "CYGNET_PEER_UID"), "7");
  EXPECT_EQ(Field(records_[2], "CYGNET_PEER_PID"), "8");
  EXPECT_FALSE(records_[3].success);
}

// Hundreds of policies do not displace a flush.
TEST_F(AuditTest, PoliciesHaveALimitOfTheirOwn) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  sinks.push_back(std::make_unique<MemorySink>(&records_, &broken_));
  Audit audit(std::move(sinks), &clock_);
  for (int i = 0; i < 1000; ++i)
    audit.Client({ClientAct::kPolicy, [] { return "policy add"; }}, {});
  EXPECT_EQ(records_.size(), 1000u);
  EXPECT_EQ(audit.suppressed(), 0u);
}

TEST_F(AuditTest, AClientsRecordAboveTheLimitIsNotMade) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  sinks.push_back(std::make_unique<MemorySink>(&records_, &broken_));
  Audit audit(std::move(sinks), &clock_, {.policies_burst = 3});
  int made = 0;
  const ClientRecord record{ClientAct::kPolicy, [&made] { return std::to_string(++made); }};
  for (int i = 0; i < 10; ++i) audit.Client(record, {});
  EXPECT_EQ(made, 3);
  EXPECT_EQ(audit.suppressed(), 7u);
}

TEST(LinuxAuditTextTest, OthersWordsAreNoFields) {
  const AuditRecord record{.kind = AuditKind::kDevice,
                           .message = {},
                           .fields = {{"CYGNET_DEVICE", "a res=1"}, {"CYGNET_STATE", ""}}};
  EXPECT_EQ(LinuxAuditText(record), "op=cygnet-device device=61207265733D31 state=?");
}

TEST(JournalSinkTest, SendsTheNativeProtocol) {
  char directory[] = "/tmp/cygnet-journal-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/socket";
  const auto sink = MakeJournalSink(path);
  const AuditRecord record{.kind = AuditKind::kKey,
                           .warning = true,
                           .message = "two\nlines",
                           .fields = {{"CYGNET_HOLDER", "nic0"}}};
  EXPECT_FALSE(sink->Write(record));  // nobody listens
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const UnixAddress address(path.data(), path.size());
  ASSERT_EQ(bind(fd.get(), address.get(), address.length()), 0);
  EXPECT_TRUE(sink->Write(record));
  std::string text(4096, '\0');
  const ssize_t got = recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
  unlink(path.c_str());
  rmdir(directory);
  ASSERT_GT(got, 0);
  text.resize(static_cast<std::size_t>(got));
  EXPECT_EQ(text, std::string("MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n", 26) +
                      "MESSAGE_ID=180f7b39a9ac4675934c4fcc2bad6b1f\nPRIORITY=4\n"
                      "SYSLOG_IDENTIFIER=cygnetd\nCYGNET_HOLDER=nic0\n");
}

// The queue of a datagram socket is short, but a late reader still gets every record.
TEST(JournalSinkTest, AShortQueueLosesNothing) {
  char directory[] = "/tmp/cygnet-journal-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/socket";
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const UnixAddress address(path.data(), path.size());
  ASSERT_EQ(bind(fd.get(), address.get(), address.length()), 0);
  test::FakeClock clock;
  std::vector<std::unique_ptr<AuditSink>> sinks;
  sinks.push_back(MakeJournalSink(path));
  Audit audit(std::move(sinks), &clock, AuditLimits{.per_second = 1e6, .burst = 1e6});
  constexpr int kRecords = 3000;  // more than any max_dgram_qlen
  for (int i = 0; i < kRecords; ++i) audit.Device("nic" + std::to_string(i), "up", "");
  EXPECT_GT(audit.waiting(), 0u) << "the queue is too long for this test";
  int next = 0;
  for (int turn = 0; turn < kRecords && next < kRecords; ++turn) {
    std::string text(4096, '\0');
    for (ssize_t got; (got = recv(fd.get(), text.data(), text.size(), 0)) > 0; ++next) {
      EXPECT_THAT(text, HasSubstr("CYGNET_DEVICE=nic" + std::to_string(next) + "\n"));
    }
    audit.Flush();
  }
  unlink(path.c_str());
  rmdir(directory);
  EXPECT_EQ(next, kRecords);
  EXPECT_EQ(audit.waiting() + audit.lost(), 0u);
}

// No field holds a key, because no entry does.
TEST_F(AuditTest, KeyRecordNamesNoKeyMaterial) {
  audit_->Key(test::SampleKeyEntry());
  for (const auto& [name, value] : records_[0].fields) {
    EXPECT_THAT(value, Not(HasSubstr("000102030405")));
  }
}

}  // namespace
}  // namespace cygnet
