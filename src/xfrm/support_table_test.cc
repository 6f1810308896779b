// Checks the table of doc/xfrm_protocol.md row by row: what it lists as refused is refused with
// that number and text, and what it lists as enforced is accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <string>

#include "support/xfrm_messages.h"
#include "xfrm/migrate_message.h"
#include "xfrm/migrate_state_message.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {
namespace {

using testing::Bytes;
using testing::Message;

using Fill = std::function<void(Message&)>;
using Answer = std::function<Status()>;

template <typename Decoder>
Status Run(Message& message, Decoder decode) {
  const netlink::Buffer bytes = message.Finish();
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(bytes), ack);
  if (!request) return request.error();
  const auto result = decode(*request);
  return result ? Status() : Status(result.error());
}

template <typename T>
Fill With(uint16_t type, T value) {
  return [=](Message& message) {
    Bytes bytes(sizeof(value));
    std::memcpy(bytes.data(), &value, sizeof(value));
    message.AttrBytes(type, bytes);
  };
}
Fill WithBytes(uint16_t type, Bytes value) {
  return [=](Message& message) { message.AttrBytes(type, value); };
}
Fill Both(const Fill& a, const Fill& b) {
  return [=](Message& message) {
    a(message);
    b(message);
  };
}

using SaEdit = std::function<void(xfrm_usersa_info&)>;

// An SA of AES-GCM in tunnel mode, except for the subject of the row.
Answer Sa(const Fill& attributes, const SaEdit& edit = nullptr, bool keyed = true) {
  return [=] {
    auto info = testing::SaInfo();
    info->mode = XFRM_MODE_TUNNEL;
    if (edit) edit(*info);
    Message message(RequestType::kNewSa);
    message.Put(info);
    if (keyed) message.AttrBytes(XFRMA_ALG_AEAD, testing::Gcm());
    if (attributes) attributes(message);
    return Run(message, DecodeSa);
  };
}
Answer SaWithout(const Fill& attributes, const SaEdit& edit = nullptr) {
  return Sa(attributes, edit, false);
}
Answer SaFlag(uint8_t flag, const Fill& attributes = nullptr) {
  return Sa(attributes, [flag](xfrm_usersa_info& info) { info.flags = flag; });
}

Answer SpiOf(const Fill& attributes, uint8_t proto = 50) {
  return [=] {
    auto wire = testing::SpiInfo(0x100, 0x1ff);
    wire->info.id.proto = proto;
    Message message(RequestType::kAllocSpi);
    message.Put(wire);
    if (attributes) attributes(message);
    return Run(message, DecodeAllocSpi);
  };
}

using PolicyEdit = std::function<void(xfrm_userpolicy_info&)>;

// The result follows the row. A blocking policy is always accepted unless it is malformed.
Answer PolicyOf(const Fill& attributes, const PolicyEdit& edit = nullptr) {
  return [=] {
    for (const uint8_t action : {uint8_t{XFRM_POLICY_BLOCK}, uint8_t{XFRM_POLICY_ALLOW}}) {
      auto info = testing::PolicyInfo();
      info->action = action;
      if (edit) edit(*info);
      Message message(RequestType::kNewPolicy);
      message.Put(info);
      if (attributes) attributes(message);
      const Status status = Run(message, DecodePolicy);
      if (action == XFRM_POLICY_ALLOW) return status;
      if (!status.has_value()) {
        EXPECT_EQ(status.error().code, Errc::kInvalid);
      }
    }
    return Status();
  };
}

Answer TemplateOf(const std::function<void(xfrm_user_tmpl&)>& edit,
                  const PolicyEdit& policy = nullptr) {
  auto wire = testing::TunnelTemplate();
  if (edit) edit(*wire);
  return PolicyOf(WithBytes(XFRMA_TMPL, {wire.bytes().begin(), wire.bytes().end()}), policy);
}

Answer MigrateOf(const Fill& attributes) {
  return [=] {
    Zeroed<xfrm_user_migrate> entry;
    entry->old_family = entry->new_family = 2;
    entry->new_saddr = testing::Address("10.0.0.3");
    entry->new_daddr = testing::Address("10.0.0.4");
    Message message(RequestType::kMigrate);
    message.Put(testing::PolicyKey()).AttrBytes(XFRMA_MIGRATE, entry.bytes());
    attributes(message);
    return Run(message, DecodeMigrate);
  };
}

Answer MigrateStateOf(const Fill& attributes,
                      const std::function<void(MigrateState&)>& edit = nullptr) {
  return [=] {
    Zeroed<MigrateState> state;
    state->id = *testing::SaKey();
    state->new_saddr = testing::Address("10.0.0.3");
    state->new_daddr = testing::Address("10.0.0.4");
    state->new_family = 2;
    if (edit) edit(*state);
    Message message(RequestType::kMigrateState);
    message.Put(state);
    if (attributes) attributes(message);
    return Run(message, DecodeMigrateState);
  };
}

Bytes EncapOf(uint16_t type, uint16_t sport = 4500) {
  Zeroed<xfrm_encap_tmpl> wire;
  wire->encap_type = type;
  wire->encap_sport = be16(sport).raw();
  wire->encap_dport = be16(4500).raw();
  return {wire.bytes().begin(), wire.bytes().end()};
}
Bytes OffloadOf(uint8_t flags) {
  Zeroed<xfrm_user_offload> wire;
  wire->ifindex = 1;
  wire->flags = flags;
  return {wire.bytes().begin(), wire.bytes().end()};
}
Bytes SecurityContext() {
  xfrm_user_sec_ctx wire{};
  wire.len = sizeof(wire);
  Bytes bytes(sizeof(wire));
  std::memcpy(bytes.data(), &wire, sizeof(wire));
  return bytes;
}
Bytes SubType() {
  xfrm_userpolicy_type wire{};
  wire.type = XFRM_POLICY_TYPE_SUB;
  Bytes bytes(sizeof(wire));
  std::memcpy(bytes.data(), &wire, sizeof(wire));
  return bytes;
}

const Fill kMark = With(XFRMA_MARK, xfrm_mark{.v = 7, .m = 0xff});
const Fill kNoMark = With(XFRMA_MARK, xfrm_mark{});
const Fill kEspInUdp = WithBytes(XFRMA_ENCAP, EncapOf(2));
const Fill kEspInUdpFromAnyPort = WithBytes(XFRMA_ENCAP, EncapOf(2, 0));
const Fill kOut = With(kAttrSaDir, uint8_t{2});
const Fill kIn = With(kAttrSaDir, uint8_t{1});
const Fill kCpu = Both(kIn, With(kAttrSaPcpu, uint32_t{0}));

std::map<std::string, Answer> SaRows() {
  const Fill cbc = WithBytes(XFRMA_ALG_CRYPT, testing::Algorithm("cbc(aes)", 16));
  const Fill sha1 = WithBytes(XFRMA_ALG_AUTH, testing::Algorithm("hmac(sha1)", 20));
  const auto mode = [](uint8_t m) { return [m](xfrm_usersa_info& i) { i.mode = m; }; };
  const auto proto = [](uint8_t p) { return [p](xfrm_usersa_info& i) { i.id.proto = p; }; };
  return {
      {"SA XFRMA_ALG_AEAD", Sa(nullptr)},
      {"SA XFRMA_ALG_CRYPT", SaWithout(Both(cbc, sha1))},
      {"SA XFRMA_ALG_AUTH", SaWithout(Both(cbc, sha1))},
      {"SA XFRMA_ALG_AUTH_TRUNC",
       SaWithout(Both(
           cbc, WithBytes(XFRMA_ALG_AUTH_TRUNC, testing::AuthTrunc("hmac(sha256)", 32, 128))))},
      {"SA XFRMA_ALG_COMP", Sa(WithBytes(XFRMA_ALG_COMP, testing::Algorithm("deflate", 0)))},
      {"SA protocol AH", SaWithout(sha1, proto(51))},
      {"SA protocol IPComp",
       SaWithout(WithBytes(XFRMA_ALG_COMP, testing::Algorithm("deflate", 0)), proto(108))},
      {"SA mode IP-TFS", Sa(kOut, mode(kModeIptfs))},
      {"SA mode route optimization", Sa(nullptr, mode(XFRM_MODE_ROUTEOPTIMIZATION))},
      {"SA XFRMA_IPTFS_*", Sa(With(kAttrIptfsMaxQueueSize, uint32_t{1}))},
      {"SA XFRMA_ENCAP espinudp", Sa(kEspInUdp)},
      {"SA XFRMA_ENCAP from port 0, in", Sa(Both(kIn, kEspInUdpFromAnyPort))},
      {"SA XFRMA_ENCAP from port 0", Sa(kEspInUdpFromAnyPort)},
      {"SA XFRMA_ENCAP from port 0, out", Sa(Both(kOut, kEspInUdpFromAnyPort))},
      {"SA XFRMA_ENCAP of another type", Sa(WithBytes(XFRMA_ENCAP, EncapOf(7)))},
      {"SA XFRMA_MARK 0/0", Sa(kNoMark)},
      {"SA XFRMA_IF_ID 0", Sa(With(XFRMA_IF_ID, uint32_t{0}))},
      {"SA XFRMA_MARK", Sa(kMark)},
      {"SA XFRMA_IF_ID", Sa(With(XFRMA_IF_ID, uint32_t{9}))},
      {"SA XFRMA_SET_MARK", Sa(With(XFRMA_SET_MARK, uint32_t{0}))},
      {"SA XFRMA_SET_MARK 0/0",
       Sa(Both(With(XFRMA_SET_MARK, uint32_t{0}), With(XFRMA_SET_MARK_MASK, uint32_t{0})))},
      {"SA XFRMA_SET_MARK_MASK alone", Sa(With(XFRMA_SET_MARK_MASK, uint32_t{5}))},
      {"SA XFRMA_SA_PCPU", Sa(kCpu)},
      {"SA XFRMA_SA_PCPU without SA_DIR", Sa(With(kAttrSaPcpu, uint32_t{0}))},
      {"SA XFRMA_SEC_CTX", Sa(WithBytes(XFRMA_SEC_CTX, SecurityContext()))},
      {"SA XFRMA_COADDR", Sa(With(XFRMA_COADDR, testing::Address("10.0.0.9")))},
      {"SA XFRMA_REPLAY_VAL", Sa(With(XFRMA_REPLAY_VAL, xfrm_replay_state{1, 2, 3}))},
      {"SA XFRMA_REPLAY_ESN_VAL", Sa(WithBytes(XFRMA_REPLAY_ESN_VAL, testing::Esn(2, 64)))},
      {"SA XFRMA_LTIME_VAL", Sa(With(XFRMA_LTIME_VAL, xfrm_lifetime_cur{1, 2, 3, 4}))},
      {"SA XFRMA_REPLAY_THRESH", Sa(With(XFRMA_REPLAY_THRESH, uint32_t{1}))},
      {"SA XFRMA_ETIMER_THRESH", Sa(With(XFRMA_ETIMER_THRESH, uint32_t{1}))},
      {"SA XFRMA_MTIMER_THRESH", Sa(Both(kEspInUdp, With(XFRMA_MTIMER_THRESH, uint32_t{1})))},
      {"SA XFRMA_NAT_KEEPALIVE_INTERVAL",
       Sa(Both(kEspInUdp, Both(kOut, With(kAttrNatKeepalive, uint32_t{20}))))},
      {"SA XFRMA_TFCPAD", Sa(With(XFRMA_TFCPAD, uint32_t{500}))},
      {"SA XFRMA_OFFLOAD_DEV", Sa(WithBytes(XFRMA_OFFLOAD_DEV, OffloadOf(0)))},
      {"SA XFRMA_OFFLOAD_DEV of packet offload",
       Sa(WithBytes(XFRMA_OFFLOAD_DEV, OffloadOf(kOffloadPacket)))},
      {"SA XFRMA_SA_DIR", Sa(kOut)},
      {"SA extra flag dont-encap-dscp",
       Sa(With(XFRMA_SA_EXTRA_FLAGS, uint32_t{kSaExtraDontEncapDscp}))},
      {"SA extra flag oseq-may-wrap",
       Sa(With(XFRMA_SA_EXTRA_FLAGS, uint32_t{kSaExtraOseqMayWrap}))},
      {"SA other extra flags", Sa(With(XFRMA_SA_EXTRA_FLAGS, uint32_t{4}))},
      {"SA flag noecn", SaFlag(kSaFlagNoEcn)},
      {"SA flag decap-dscp", SaFlag(kSaFlagDecapDscp)},
      {"SA flag nopmtudisc", SaFlag(kSaFlagNoPmtuDisc)},
      {"SA flag wildrecv", SaFlag(kSaFlagWildRecv)},
      {"SA flag af-unspec", SaFlag(kSaFlagAfUnspec)},
      {"SA flag esn", SaFlag(kSaFlagEsn, WithBytes(XFRMA_REPLAY_ESN_VAL, testing::Esn(2, 64)))},
      {"SA flag icmp", SaFlag(kSaFlagIcmp)},
      {"SA flag align4", SaFlag(kSaFlagAlign4)},
      {"SA selector addresses, protocol, ports with masks", Sa(nullptr,
                                                               [](auto& i) {
                                                                 i.sel =
                                                                     *testing::NetworkSelector();
                                                                 i.sel.proto = 17;
                                                                 i.sel.dport_mask = 0xf0ff;
                                                               })},
      {"SA selector interface", Sa(nullptr, [](auto& i) { i.sel.ifindex = 3; })},
      {"SA selector user", Sa(nullptr, [](auto& i) { i.sel.user = 1000; })},
      {"SA limits", Sa(nullptr, [](auto& i) { i.lft.hard_byte_limit = 5; })},
      {"SA XFRMA_LASTUSED", Sa(With(XFRMA_LASTUSED, uint64_t{5}))},
      {"SA XFRMA_SRCADDR", Sa(With(XFRMA_SRCADDR, testing::Address("10.0.0.9")))},
      {"SA XFRMA_PROTO", Sa(With(XFRMA_PROTO, uint8_t{50}))},
      {"SA XFRMA_KMADDRESS", Sa(With(XFRMA_KMADDRESS, xfrm_user_kmaddress{}))},
      {"SA XFRMA_ADDRESS_FILTER", Sa(With(XFRMA_ADDRESS_FILTER, xfrm_address_filter{}))},
  };
}

std::map<std::string, Answer> OtherRows() {
  const auto flags = [](uint8_t f) { return [f](xfrm_userpolicy_info& i) { i.flags = f; }; };
  const auto proto = [](uint8_t p) { return [p](xfrm_user_tmpl& t) { t.id.proto = p; }; };
  return {
      {"SPI protocol AH", SpiOf(nullptr, 51)},
      {"SPI protocol IPComp", SpiOf(nullptr, 108)},
      {"SPI XFRMA_MARK", SpiOf(kMark)},
      {"SPI XFRMA_IF_ID", SpiOf(With(XFRMA_IF_ID, uint32_t{9}))},
      {"SPI XFRMA_SA_PCPU", SpiOf(kCpu)},
      {"SPI XFRMA_SA_DIR", SpiOf(kIn)},
      {"policy XFRMA_MARK", PolicyOf(kMark)},
      {"policy XFRMA_MARK 0/0", PolicyOf(kNoMark)},
      {"policy XFRMA_IF_ID 0", PolicyOf(With(XFRMA_IF_ID, uint32_t{0}))},
      {"policy XFRMA_IF_ID", PolicyOf(With(XFRMA_IF_ID, uint32_t{9}))},
      {"policy XFRMA_SEC_CTX", PolicyOf(WithBytes(XFRMA_SEC_CTX, SecurityContext()))},
      {"policy XFRMA_POLICY_TYPE sub", PolicyOf(WithBytes(XFRMA_POLICY_TYPE, SubType()))},
      {"policy XFRMA_OFFLOAD_DEV",
       PolicyOf(WithBytes(XFRMA_OFFLOAD_DEV, OffloadOf(kOffloadPacket)))},
      {"policy XFRMA_OFFLOAD_DEV of crypto offload",
       PolicyOf(WithBytes(XFRMA_OFFLOAD_DEV, OffloadOf(0)))},
      {"policy flag localok", PolicyOf(nullptr, flags(XFRM_POLICY_LOCALOK))},
      {"policy flag icmp", PolicyOf(nullptr, flags(XFRM_POLICY_ICMP))},
      {"policy flag cpu_acquire", PolicyOf(nullptr, flags(4))},
      {"policy other flags", PolicyOf(nullptr, flags(0x80))},
      {"policy share", PolicyOf(nullptr, [](auto& i) { i.share = XFRM_SHARE_UNIQUE; })},
      {"policy selector addresses, protocol, ports with masks", PolicyOf(nullptr,
                                                                         [](auto& i) {
                                                                           i.sel.proto = 17;
                                                                           i.sel.sport_mask =
                                                                               0xf0ff;
                                                                         })},
      {"policy selector interface", PolicyOf(nullptr, [](auto& i) { i.sel.ifindex = 3; })},
      {"policy selector user", PolicyOf(nullptr, [](auto& i) { i.sel.user = 1000; })},
      {"policy limits", PolicyOf(nullptr, [](auto& i) { i.lft.hard_add_expires_seconds = 9; })},
      {"template ESP in transport, tunnel or BEET mode", TemplateOf(nullptr)},
      {"template AH", TemplateOf(proto(51))},
      {"template IPComp", TemplateOf(proto(108))},
      {"template IP-TFS", TemplateOf([](auto& t) { t.mode = kModeIptfs; })},
      {"template IPComp of level use", TemplateOf([](auto& t) {
         t.id.proto = 108;
         t.mode = XFRM_MODE_TRANSPORT;
         t.optional = 1;
       })},
      {"template algorithm masks out", TemplateOf([](auto& t) { t.aalgos = 2; })},
      {"template algorithm masks in or fwd",
       TemplateOf([](auto& t) { t.aalgos = 2; }, [](auto& i) { i.dir = XFRM_POLICY_FWD; })},
      {"migrate XFRMA_MARK", MigrateOf(kMark)},
      {"migrate XFRMA_IF_ID", MigrateOf(With(XFRMA_IF_ID, uint32_t{9}))},
      {"migrate XFRMA_ENCAP", MigrateOf(kEspInUdp)},
      {"migrate XFRMA_OFFLOAD_DEV", MigrateOf(WithBytes(XFRMA_OFFLOAD_DEV, OffloadOf(0)))},
      {"migrate XFRMA_KMADDRESS", MigrateOf(With(XFRMA_KMADDRESS, xfrm_user_kmaddress{}))},
      {"state XFRMA_ENCAP", MigrateStateOf(kEspInUdp)},
      {"state XFRMA_OFFLOAD_DEV", MigrateStateOf(WithBytes(XFRMA_OFFLOAD_DEV, OffloadOf(0)))},
      {"state XFRMA_MTIMER_THRESH", MigrateStateOf(With(XFRMA_MTIMER_THRESH, uint32_t{1}))},
      {"state XFRMA_NAT_KEEPALIVE_INTERVAL", MigrateStateOf(With(kAttrNatKeepalive, uint32_t{20}))},
      {"state XFRMA_MARK 0/0", MigrateStateOf(kNoMark)},
      {"state XFRMA_MARK", MigrateStateOf(kMark)},
      {"state old mark",
       MigrateStateOf(nullptr, [](auto& s) { s.old_mark = {.v = 7, .m = 0xff}; })},
      {"state XFRMA_SET_MARK", MigrateStateOf(With(XFRMA_SET_MARK, uint32_t{1}))},
      {"state selector user", MigrateStateOf(nullptr, [](auto& s) { s.new_sel.user = 1000; })},
      {"state flag clear-offload",
       MigrateStateOf(nullptr, [](auto& s) { s.flags = kMigrateClearOffload; })},
      {"state flag update-h2h-sel",
       MigrateStateOf(nullptr, [](auto& s) { s.flags = kMigrateUpdateHostSelector; })},
      {"state other flags", MigrateStateOf(nullptr, [](auto& s) { s.flags = 4; })},
      {"state other attributes", MigrateStateOf(With(XFRMA_IF_ID, uint32_t{9}))},
  };
}

// Name → text of the second column.
std::map<std::string, std::string> Documented() {
  std::ifstream file(CYGNET_XFRM_PROTOCOL);
  std::map<std::string, std::string> rows;
  const std::regex row(R"(^\| (`.*`) \| (.*) \|$)");
  const std::regex name("`([^`]+)`");
  std::smatch cells;
  for (std::string line; std::getline(file, line);) {
    if (!std::regex_match(line, cells, row)) continue;
    const std::string names = cells[1];
    for (std::sregex_iterator it(names.begin(), names.end(), name), end; it != end; ++it) {
      rows[(*it)[1]] = cells[2];
    }
  }
  return rows;
}

std::optional<Errc> RefusedBy(const std::string& text) {
  for (const auto& [word, code] : {std::pair{"EOPNOTSUPP ", Errc::kNotSupported},
                                   std::pair{"EPROTONOSUPPORT ", Errc::kProtocolNotSupported},
                                   std::pair{"EINVAL ", Errc::kInvalid}}) {
    if (text.starts_with(word)) return code;
  }
  return std::nullopt;
}

TEST(SupportTableTest, EveryRowIsAsTheDocumentSays) {
  std::map<std::string, Answer> answers = SaRows();
  answers.merge(OtherRows());
  const auto documented = Documented();
  for (const auto& [name, answer] : answers) {
    EXPECT_TRUE(documented.contains(name)) << "not in the document: " << name;
  }
  for (const auto& [name, text] : documented) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(answers.contains(name));
    const Status status = answers.at(name)();
    const std::optional<Errc> code = RefusedBy(text);
    ASSERT_EQ(status.has_value(), !code.has_value())
        << (status.has_value() ? "was accepted" : status.error().message);
    if (status.has_value()) continue;
    EXPECT_EQ(status.error().code, *code);
    const std::size_t open = text.find('"');
    if (open == std::string::npos) continue;
    const std::string words = text.substr(open + 1, text.find('"', open + 1) - open - 1);
    EXPECT_THAT(status.error().message, ::testing::HasSubstr(words));
  }
}

}  // namespace
}  // namespace cygnet::xfrm
