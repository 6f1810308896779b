// The transport's guarantees: lock-step, permissions, bounded queues, lazy dumps, limits. The
// vectors test the contents of messages.

#include "daemon/xfrm_server/xfrm_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "netlink/attribute.h"
#include "support/xfrm_messages.h"
#include "support/xfrm_server_fixture.h"

namespace cygnet::test {

std::string TextOf(std::span<const uint8_t> datagram) {
  const nlmsghdr header = HeaderOf(datagram);
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto echoed = ReadAt<nlmsghdr>(datagram, netlink::kHeaderSize + 4).value();
  std::size_t at = netlink::kHeaderSize + 4 + sizeof(nlmsghdr);
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0) {
    at += netlink::Align(echoed.nlmsg_len) - sizeof(nlmsghdr);
  }
  netlink::AttributeIterator iterator(datagram.subspan(at));
  while (const auto attribute = iterator.Next()) {
    if (attribute->type != NLMSGERR_ATTR_MSG) continue;
    return reinterpret_cast<const char*>(attribute->payload.data());
  }
  return {};
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using xfrm::RequestType;
using xfrm::Zeroed;
using xfrm::testing::Message;

constexpr uint16_t Type(RequestType type) { return static_cast<uint16_t>(type); }

constexpr uint16_t kAsk = NLM_F_REQUEST;
constexpr uint16_t kAskAck = NLM_F_REQUEST | NLM_F_ACK;
constexpr uint16_t kAskDump = NLM_F_REQUEST | NLM_F_DUMP;
constexpr uint32_t kGroupAcquire = 1u << 0;
constexpr uint32_t kGroupExpire = 1u << 1;
constexpr uint32_t kGroupSa = 1u << 2;
constexpr uint32_t kGroupAevents = 1u << 4;
constexpr uint32_t kGroupMapping = 1u << 7;

netlink::Buffer GetSadInfo(uint32_t seq = 1, uint16_t flags = kAsk) {
  return Message(RequestType::kGetSadInfo, flags, seq).Put(uint32_t{0}).Finish();
}

netlink::Buffer NewSa(uint32_t spi, uint32_t seq = 1, uint32_t pid = 0) {
  return xfrm::testing::NewSa(spi, seq, pid).Finish();
}

netlink::Buffer DumpSas(uint32_t seq = 1) {
  return Message(RequestType::kGetSa, kAskDump, seq).Finish();
}

void AddSas(XfrmServerHarness& harness, uint32_t count) {
  const auto client = harness.Connect();
  for (uint32_t i = 1; i <= count; ++i) ASSERT_EQ(ErrnoOf(harness.Ask(*client, NewSa(i))[0]), 0);
}

std::size_t CountMessages(const std::vector<Bytes>& datagrams, uint16_t type) {
  std::size_t count = 0;
  for (const Bytes& datagram : datagrams) {
    std::span<const uint8_t> rest(datagram);
    while (const auto message = netlink::NextMessage(rest)) {
      count += message->header.nlmsg_type == type ? 1 : 0;
    }
  }
  return count;
}

TEST(XfrmServerTest, AddsGetsAndDeletesAnSa) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  auto answers = harness.Ask(*client, NewSa(0x100));
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(ErrnoOf(answers[0]), 0);
  EXPECT_EQ(ErrnoOf(harness.Ask(*client, NewSa(0x100))[0]), EEXIST);
  answers =
      harness.Ask(*client, Message(RequestType::kGetSa).Put(xfrm::testing::SaKey(0x100)).Finish());
  ASSERT_THAT(answers, SizeIs(2)) << "the SA and the ACK, each in its own datagram";
  EXPECT_EQ(HeaderOf(answers[0]).nlmsg_type, Type(RequestType::kNewSa));
  EXPECT_EQ(HeaderOf(answers[0]).nlmsg_pid, XfrmServerHarness::kPort);
  answers =
      harness.Ask(*client, Message(RequestType::kDelSa).Put(xfrm::testing::SaKey(0x100)).Finish());
  EXPECT_EQ(ErrnoOf(answers[0]), 0);
  EXPECT_THAT(harness.control.sas, IsEmpty());
}

TEST(XfrmServerTest, OffloadRefusalReachesTheClient) {
  XfrmServerHarness harness;
  harness.control.offload_error = MakeError(Errc::kNoSpace, "the table of nic0 is full");
  const auto client = harness.Connect();
  const auto answers = harness.Ask(*client, xfrm::testing::NewOffloadedSa(0x100, 2).Finish());
  EXPECT_EQ(ErrnoOf(answers[0]), ENOSPC);
  EXPECT_EQ(TextOf(answers[0]), "the table of nic0 is full");
}

TEST(XfrmServerTest, MigrateAndAcquireAreToldToTheirGroups) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  const auto listener = harness.Connect(1u << 0 | 1u << 6, 0x77);
  Zeroed<xfrm_userpolicy_info> policy = xfrm::testing::PolicyInfo();
  const auto tmpl = xfrm::testing::TunnelTemplate();
  auto add = Message(RequestType::kNewPolicy, kAskAck).Put(policy);
  harness.Ask(*client, add.AttrBytes(XFRMA_TMPL, tmpl.bytes()).Finish());
  Zeroed<xfrm_userpolicy_id> id;
  id->sel = policy->sel;
  id->dir = policy->dir;
  Zeroed<xfrm_user_migrate> entry;
  entry->proto = 50;
  entry->mode = XFRM_MODE_TUNNEL;
  auto migrate = Message(RequestType::kMigrate, kAskAck).Put(id);
  auto answers = harness.Ask(*client, migrate.AttrBytes(XFRMA_MIGRATE, entry.bytes()).Finish());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(ErrnoOf(answers[0]), 0);
  Zeroed<xfrm_user_acquire> acquire;
  acquire->policy = *policy;
  auto ask = Message(RequestType::kAcquire, kAskAck).Put(acquire);
  answers = harness.Ask(*client, ask.AttrBytes(XFRMA_TMPL, tmpl.bytes()).Finish());
  EXPECT_EQ(ErrnoOf(answers[0]), 0);
  const auto events = harness.Drain(*listener);
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_type, XFRM_MSG_MIGRATE);
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_flags, 7u << transport::kGroupShift);
  EXPECT_EQ(HeaderOf(events[1]).nlmsg_type, XFRM_MSG_ACQUIRE);
  EXPECT_EQ(events[1].size(), 16u + 280 + 68 + 12);
}

TEST(XfrmServerTest, LarvalLifetimeIsAskedForAtEachRequest) {
  uint32_t seconds = 30;
  auto options = XfrmServerHarness::Options();
  options.larval_seconds = [&] { return seconds; };
  XfrmServerHarness harness(options);
  const auto client = harness.Connect();
  for (const uint32_t now : {30u, 165u}) {
    seconds = now;
    const auto answers = harness.Ask(
        *client,
        Message(RequestType::kAllocSpi, kAsk).Put(xfrm::testing::SpiInfo(now, now)).Finish());
    EXPECT_EQ(answers[0].size(), 256u);
    EXPECT_EQ(harness.control.last_larval_seconds, now);
  }
}

Zeroed<xfrm_aevent_id> AeventId(uint32_t spi, uint32_t flags) {
  Zeroed<xfrm_aevent_id> id;
  id->sa_id = *xfrm::testing::SaKey(spi);
  id->flags = flags;
  return id;
}

TEST(XfrmServerTest, GetAeAnswersWithThePidThatWasWritten) {
  XfrmServerHarness harness;
  AddSas(harness, 1);
  const auto client = harness.Connect();
  const auto answers = harness.Ask(
      *client, Message(RequestType::kGetAe, kAsk, 9, 77).Put(AeventId(1, XFRM_AE_RTHR)).Finish());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(HeaderOf(answers[0]).nlmsg_type, Type(RequestType::kNewAe));
  EXPECT_EQ(HeaderOf(answers[0]).nlmsg_seq, 9u);
  EXPECT_EQ(HeaderOf(answers[0]).nlmsg_pid, 77u);
  const auto missing =
      harness.Ask(*client, Message(RequestType::kGetAe, kAsk).Put(AeventId(2, 0)).Finish());
  EXPECT_EQ(ErrnoOf(missing[0]), ESRCH);
}

TEST(XfrmServerTest, NewAeIsToldToItsGroup) {
  XfrmServerHarness harness;
  AddSas(harness, 1);
  const auto listener = harness.Connect(kGroupAevents, 0x99);
  EXPECT_TRUE(harness.server->WantsAevents());
  const auto client = harness.Connect();
  const auto answers =
      harness.Ask(*client, Message(RequestType::kNewAe, kAskAck | NLM_F_REPLACE, 4, 5)
                               .Put(AeventId(1, 0))
                               .Attr(XFRMA_REPLAY_THRESH, uint32_t{8})
                               .Finish());
  EXPECT_EQ(ErrnoOf(answers[0]), 0);
  const auto events = harness.Drain(*listener);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_type, Type(RequestType::kNewAe));
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_pid, 5u);
  EXPECT_EQ(ReadAt<xfrm_aevent_id>(events[0], netlink::kHeaderSize)->flags, XFRM_AE_CU);
}

TEST(XfrmServerTest, MappingGoesToItsGroup) {
  XfrmServerHarness harness;
  AddSas(harness, 1);
  const auto listener = harness.Connect(kGroupMapping);
  EXPECT_FALSE(harness.server->WantsAevents());
  harness.control.Notify(SaMapping{FakeXfrmControl::Opaque(harness.control.sas[0]), {}, 1024}, {});
  const auto events = harness.Drain(*listener);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_type, Type(RequestType::kMapping));
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_pid, 0u);
}

// --- Lock-step -----------------------------------------------------------------------------------

TEST(XfrmServerTest, ConsumesARequestOnlyAfterAnsweringIt) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  ASSERT_TRUE(client->Send(GetSadInfo(1, kAskAck)));
  EXPECT_GT(client->Unconsumed(), 0);
  harness.Run();
  EXPECT_EQ(client->Unconsumed(), 0);
  EXPECT_FALSE(client->Receive().empty());
}

TEST(XfrmServerTest, WorkThatNobodyWaitsForComesAfterTheAnswer) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  std::vector<int> errors;  // in the answer, each time
  harness.server->SetAfterAnswer([&] {
    EXPECT_EQ(client->Unconsumed(), 0) << "its send may return";
    errors.push_back(ErrnoOf(client->Receive()));
  });
  ASSERT_TRUE(client->Send(NewSa(0x100)));
  harness.Run();
  ASSERT_TRUE(client->Send(NewSa(0x100)));
  harness.Run();
  EXPECT_THAT(errors, ElementsAre(0, EEXIST));
}

TEST(XfrmServerTest, LargeDumpDoesNotWaitForTheReader) {
  XfrmServerHarness harness;
  AddSas(harness, 3000);
  const auto client = harness.Connect();
  ASSERT_TRUE(client->Send(DumpSas()));
  harness.Run();
  EXPECT_EQ(client->Unconsumed(), 0)
      << "the request is done, though most of the answer is not sent yet";
  const auto parts = harness.Drain(*client);
  EXPECT_EQ(CountMessages(parts, Type(RequestType::kNewSa)), 3000u);
  EXPECT_EQ(CountMessages(parts, NLMSG_DONE), 1u);
  EXPECT_EQ(parts.back().size(), 20u);
  for (const Bytes& part : parts) EXPECT_LE(part.size(), 3584u);
}

// charon refuses datagrams that are longer than its buffer.
TEST(XfrmServerTest, DumpsAreAsLongAsTheClientsBuffer) {
  XfrmServerHarness harness;
  AddSas(harness, 3000);
  const auto client = harness.Connect();
  for (const int room : {100, 4096, 32'768, 1 << 30}) {
    client->Option(transport::kReceiveRoom, room);
    const auto parts = harness.Ask(*client, DumpSas());
    EXPECT_EQ(CountMessages(parts, Type(RequestType::kNewSa)), 3000u) << room;
    std::size_t longest = 0;
    for (const Bytes& part : parts) longest = std::max(longest, part.size());
    const int most = std::clamp(room, transport::kFirstDumpBytes, transport::kMostDumpBytes);
    EXPECT_LE(longest, static_cast<std::size_t>(most));
    EXPECT_GT(longest, static_cast<std::size_t>(most) - 1024);
  }
}

TEST(XfrmServerTest, RequestsSentBeforeLeavingAreExecuted) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  for (uint32_t i = 1; i <= 5; ++i) ASSERT_TRUE(client->Send(NewSa(i)));
  client->Close();
  harness.Run();
  EXPECT_THAT(harness.control.sas, SizeIs(5));
  EXPECT_EQ(harness.server->connections(), 0u);
}

// --- Dumps ---------------------------------------------------------------------------------------

TEST(XfrmServerTest, SecondDumpIsBusyWhileOneIsUnfinished) {
  XfrmServerHarness harness;
  AddSas(harness, 3000);
  const auto client = harness.Connect();
  ASSERT_TRUE(client->Send(DumpSas(1)));
  harness.Run();
  ASSERT_TRUE(client->Send(DumpSas(2)));
  // Other requests are executed meanwhile.
  ASSERT_TRUE(client->Send(GetSadInfo(3)));
  const auto parts = harness.Drain(*client);
  EXPECT_EQ(CountMessages(parts, Type(RequestType::kNewSa)), 3000u);
  EXPECT_EQ(CountMessages(parts, Type(RequestType::kNewSadInfo)), 1u);
  int busy = 0;
  for (const Bytes& part : parts) {
    if (HeaderOf(part).nlmsg_type != NLMSG_ERROR) continue;
    EXPECT_EQ(ErrnoOf(part), EBUSY);
    EXPECT_EQ(HeaderOf(part).nlmsg_seq, 2u);
    ++busy;
  }
  EXPECT_EQ(busy, 1);
  EXPECT_EQ(CountMessages(harness.Ask(*client, DumpSas(4)), NLMSG_DONE), 1u);
}

TEST(XfrmServerTest, FlushDuringADumpEndsIt) {
  XfrmServerHarness harness;
  AddSas(harness, 3000);
  const auto client = harness.Connect();
  ASSERT_TRUE(client->Send(DumpSas()));
  harness.Run();
  ASSERT_TRUE(harness.control.FlushSas(0, {}));
  const auto parts = harness.Drain(*client);
  EXPECT_LT(CountMessages(parts, Type(RequestType::kNewSa)), 3000u);
  EXPECT_EQ(CountMessages(parts, NLMSG_DONE), 1u);
}

TEST(XfrmServerTest, ClientMayDisappearDuringADump) {
  XfrmServerHarness harness;
  AddSas(harness, 3000);
  auto client = harness.Connect();
  ASSERT_TRUE(client->Send(DumpSas()));
  harness.Run();
  EXPECT_FALSE(client->Receive().empty());
  client->Close();
  harness.Run();
  EXPECT_EQ(harness.server->connections(), 0u);
}

// --- Malformed datagrams -------------------------------------------------------------------------

TEST(XfrmServerTest, EveryTruncationOfARequestIsSurvived) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  const auto whole = NewSa(0x100);
  for (std::size_t length = 1; length < whole.size(); ++length) {
    for (const bool honest : {false, true}) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      if (honest && length >= 4) {
        const auto claimed = static_cast<uint32_t>(length);
        std::memcpy(cut.data(), &claimed, sizeof(claimed));
      }
      for (const Bytes& answer : harness.Ask(*client, cut)) EXPECT_NE(ErrnoOf(answer), 0);
    }
  }
  EXPECT_THAT(harness.control.sas, IsEmpty());
}

TEST(XfrmServerTest, OversizedDatagramIsRefusedNotExecuted) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  auto request = NewSa(0x100, 42);
  request.resize(std::size_t{64} * 1024 + 4);
  const auto answers = harness.Ask(*client, request);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(ErrnoOf(answers[0]), EINVAL);
  EXPECT_EQ(HeaderOf(answers[0]).nlmsg_seq, 42u);
  EXPECT_EQ(TextOf(answers[0]), "Request is too large");
  EXPECT_THAT(harness.control.sas, IsEmpty());
  request.resize(std::size_t{64} * 1024);
  EXPECT_EQ(ErrnoOf(harness.Ask(*client, request)[0]), 0) << "64 KiB are accepted";
}

TEST(XfrmServerTest, EmptyDatagramIsIgnored) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  EXPECT_THAT(harness.Ask(*client, {}), IsEmpty());
  EXPECT_THAT(harness.Ask(*client, GetSadInfo()), SizeIs(1));
}

TEST(XfrmServerTest, ShortTransportMessagesAreIgnored) {
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  for (const uint16_t type : {transport::kBind, transport::kOption}) {
    netlink::MessageBuilder builder({.type = type, .flags = kAskAck});
    builder.Put(uint32_t{7});
    EXPECT_THAT(harness.Ask(*client, std::move(builder).Finish()), IsEmpty());
  }
  EXPECT_EQ(HeaderOf(harness.Ask(*client, GetSadInfo())[0]).nlmsg_pid, XfrmServerHarness::kPort);
}

// --- Events --------------------------------------------------------------------------------------

TEST(XfrmServerTest, EventsCarryOriginAndGroupAndComeBeforeTheAck) {
  XfrmServerHarness harness;
  const auto client = harness.Connect(kGroupSa, 0x77);
  const auto answers = harness.Ask(*client, NewSa(1, 5, 4242));
  ASSERT_THAT(answers, SizeIs(2));
  const nlmsghdr event = HeaderOf(answers[0]);
  EXPECT_EQ(event.nlmsg_type, Type(RequestType::kNewSa));
  EXPECT_EQ(event.nlmsg_flags, 3u << transport::kGroupShift);
  EXPECT_EQ(event.nlmsg_seq, 5u);
  EXPECT_EQ(event.nlmsg_pid, 4242u) << "as the client wrote it";
  EXPECT_EQ(HeaderOf(answers[1]).nlmsg_pid, 0x77u) << "the socket's own";
}

TEST(XfrmServerTest, EventsGoToTheirGroupOnly) {
  XfrmServerHarness harness;
  const auto expire = harness.Connect(kGroupExpire);
  const auto sa = harness.Connect(kGroupSa);
  AddSas(harness, 1);
  EXPECT_THAT(harness.Drain(*expire), IsEmpty());
  EXPECT_THAT(harness.Drain(*sa), SizeIs(1));
  harness.control.Notify(SaExpired{FakeXfrmControl::Opaque(harness.control.sas[0]), true}, {});
  harness.Run();
  EXPECT_THAT(harness.Drain(*sa), IsEmpty());
  const auto events = harness.Drain(*expire);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].size(), netlink::kHeaderSize + 232);
}

TEST(XfrmServerTest, WantsAcquireWhileSomebodyListens) {
  XfrmServerHarness harness;
  EXPECT_FALSE(harness.server->WantsAcquire());
  auto client = harness.Connect(kGroupAcquire);
  EXPECT_TRUE(harness.server->WantsAcquire());
  client->Bind(1, kGroupSa);
  harness.Run();
  EXPECT_FALSE(harness.server->WantsAcquire());
  client->Bind(1, kGroupAcquire);
  harness.Run();
  EXPECT_TRUE(harness.server->WantsAcquire());
  client->Close();
  harness.Run();
  EXPECT_FALSE(harness.server->WantsAcquire());
}

TEST(XfrmServerTest, AcquireIsSent) {
  XfrmServerHarness harness;
  const auto client = harness.Connect(kGroupAcquire);
  PolicyView policy;
  policy.spec.templates.resize(2);
  harness.control.Notify(Acquire{.flow = {},
                                 .ifindex = 0,
                                 .policy = policy,
                                 .template_index = 1,
                                 .saddr = {},
                                 .daddr = {},
                                 .seq = 3},
                         {});
  harness.Run();
  const auto events = harness.Drain(*client);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(HeaderOf(events[0]).nlmsg_type, Type(RequestType::kAcquire));
}

TEST(XfrmServerTest, ClientThatDoesNotReadLosesEventsAndIsToldOnce) {
  auto options = XfrmServerHarness::Options();
  options.max_queued_bytes = 4096;
  XfrmServerHarness harness(options);
  const auto sleeper = harness.Connect(kGroupSa, 1);
  const auto reader = harness.Connect(kGroupSa, 2);
  constexpr std::size_t kEvents = 3000;
  std::size_t read = 0;
  for (std::size_t i = 0; i < kEvents; ++i) {
    harness.control.Notify(SaFlushed{50}, {});
    harness.Run();
    read += harness.Drain(*reader).size();
  }
  EXPECT_EQ(read, kEvents) << "a sleeping client does not affect another";
  const auto late = harness.Drain(*sleeper);
  const std::size_t events = CountMessages(late, Type(RequestType::kFlushSa));
  EXPECT_LT(events, kEvents);
  EXPECT_EQ(CountMessages(late, transport::kOverrun), 1u);
  EXPECT_EQ(HeaderOf(late.back()).nlmsg_type, transport::kOverrun) << "where the gap is";
  EXPECT_EQ(late.back().size(), netlink::kHeaderSize);
  EXPECT_EQ(harness.server->counters().lost, kEvents - events);
  harness.control.Notify(SaFlushed{50}, {});
  harness.Run();
  EXPECT_THAT(harness.Drain(*sleeper), SizeIs(1)) << "and events continue";
}

TEST(XfrmServerTest, NoEnobufsMeansNoOverrunMark) {
  auto options = XfrmServerHarness::Options();
  options.max_queued_bytes = 4096;
  XfrmServerHarness harness(options);
  const auto sleeper = harness.Connect(kGroupSa);
  sleeper->Option(NETLINK_NO_ENOBUFS, 1);
  harness.Run();
  for (int i = 0; i < 3000; ++i) harness.control.Notify(SaFlushed{50}, {});
  EXPECT_EQ(CountMessages(harness.Drain(*sleeper), transport::kOverrun), 0u);
}

TEST(XfrmServerTest, RepliesThatAreNotReadAreLostToo) {
  auto options = XfrmServerHarness::Options();
  options.max_queued_bytes = 4096;
  XfrmServerHarness harness(options);
  const auto client = harness.Connect();
  for (uint32_t i = 0; i < 2000; ++i) {
    ASSERT_TRUE(client->Send(GetSadInfo(i)));
    harness.Run();
    ASSERT_EQ(client->Unconsumed(), 0) << "the client never has to wait";
  }
  const auto answers = harness.Drain(*client);
  EXPECT_LT(answers.size(), 2000u);
  EXPECT_EQ(CountMessages(answers, transport::kOverrun), 1u);
}

TEST(XfrmServerTest, PeerThatOnlyClosedItsReadingSideDoesNotSpin) {
  XfrmServerHarness harness;
  AddSas(harness, 3000);
  const auto client = harness.Connect();
  ASSERT_TRUE(client->Send(DumpSas()));
  harness.Run();
  shutdown(client->fd(), SHUT_RD);
  harness.control.Notify(SaFlushed{50}, {});
  for (int i = 0; i < 100; ++i) harness.poller->RunOnce(0);
  EXPECT_LE(harness.poller->RunOnce(0), 0);
}

// --- Limits --------------------------------------------------------------------------------------

TEST(XfrmServerTest, RefusesConnectionsBeyondTheLimit) {
  auto options = XfrmServerHarness::Options();
  options.max_connections = 3;
  XfrmServerHarness harness(options);
  std::vector<std::unique_ptr<XfrmClient>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<XfrmClient>(harness.server.get()));
    harness.Run();
  }
  EXPECT_EQ(harness.server->connections(), 3u);
  EXPECT_EQ(harness.server->counters().connections_refused, 2u);
  EXPECT_TRUE(clients[4]->ServerClosed());
  clients[0]->Close();
  harness.Run();
  XfrmClient next(harness.server.get());
  harness.Run();
  EXPECT_EQ(harness.server->connections(), 3u);
  EXPECT_FALSE(next.ServerClosed());
}

TEST(XfrmServerTest, ManyClientsThatDoNotReadShareOneBound) {
  auto options = XfrmServerHarness::Options();
  options.max_queued_bytes = 1 << 20;
  options.max_queued_in_all = 8192;
  XfrmServerHarness harness(options);
  std::vector<std::unique_ptr<XfrmClient>> stopped;
  for (int i = 0; i < 8; ++i) stopped.push_back(harness.Connect(kGroupSa));
  const auto events_until_lost = [&harness] {
    for (int i = 1; i < 100'000; ++i) {
      harness.control.Notify(SaFlushed{50}, {});
      if (harness.server->counters().lost > 0) return i;
    }
    return 0;
  };
  EXPECT_GT(events_until_lost(), 0);
  // A client that leaves returns its share of the budget.
  stopped.clear();
  harness.Run();
  const uint64_t lost = harness.server->counters().lost;
  const auto reader = harness.Connect(kGroupSa);
  for (int i = 0; i < 20; ++i) harness.control.Notify(SaFlushed{50}, {});
  EXPECT_THAT(harness.Drain(*reader), SizeIs(20));
  EXPECT_EQ(harness.server->counters().lost, lost);
}

TEST(XfrmServerTest, EventsBeforeStartGoNowhere) {
  auto poller = std::move(*Poller::Create());
  XfrmServer server(poller.get(), XfrmServerHarness::Options());
  server.OnControlEvent(SaFlushed{50}, {});
  EXPECT_FALSE(server.WantsAcquire());
}

}  // namespace
}  // namespace cygnet::test
