// Clients of the XFRM server, driven by the input. They send messages by the protocol's grammar,
// now and then with a wrong field, length or attribute. They bind, read or do not read, leave and
// return; time passes, and traffic needs SAs. The server runs on the real control plane. Each
// request must be consumed, every reply must be whole netlink, and a well-behaved client must be
// served.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "control/control_plane.h"
#include "daemon/xfrm_server/xfrm_server.h"
#include "support/fake_clock.h"
#include "support/xfrm_messages.h"
#include "support/xfrm_server_fixture.h"

namespace {

using namespace cygnet;  // NOLINT: a test program
using xfrm::RequestType;
using Bytes = std::vector<uint8_t>;

// Takes the input apart; yields zeros after its end.
class Script {
 public:
  Script(const uint8_t* data, std::size_t size) : rest_(data, size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_[0];
    rest_ = rest_.subspan(1);
    return byte;
  }
  std::size_t Below(std::size_t n) { return Byte() % n; }
  bool OneIn(std::size_t n) { return Byte() % n == n - 1; }
  uint32_t Word() {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word = word << 8 | Byte();
    return word;
  }
  Bytes Some(std::size_t n) {
    Bytes bytes(n);
    for (uint8_t& b : bytes) b = Byte();
    return bytes;
  }
  // Favours edge values.
  uint32_t Number() {
    static constexpr uint32_t kEdges[] = {0, 1, 2, 32, 0x100, 0x101, 0xffff, 0x10000, 0xffffffff};
    const std::size_t choice = Below(std::size(kEdges) + 1);
    return choice < std::size(kEdges) ? kEdges[choice] : Word();
  }

 private:
  std::span<const uint8_t> rest_;
};

template <typename T>
Bytes Raw(const xfrm::Zeroed<T>& wire) {
  const auto bytes = wire.bytes();
  return {bytes.begin(), bytes.end()};
}

Bytes Words(std::initializer_list<uint32_t> words) {
  Bytes bytes;
  for (const uint32_t word : words) {
    const auto raw = AsBytes(word);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

// --- The grammar: valid fixed parts and attributes ---

Bytes SaBody(Script& in) {
  auto info = xfrm::testing::SaInfo(0x100 + static_cast<uint32_t>(in.Below(4)));
  static constexpr uint8_t kModes[] = {1, 1, 0, 4, 2, 5};
  info->mode = kModes[in.Below(std::size(kModes))];
  info->reqid = 1 + static_cast<uint32_t>(in.Below(2));
  info->seq = static_cast<uint32_t>(in.Below(3));
  if (in.OneIn(4)) info->flags = in.Byte();
  if (in.OneIn(4)) info->replay_window = in.Byte();
  if (in.OneIn(8)) info->lft.hard_add_expires_seconds = in.Byte();
  return Raw(info);
}

Bytes PolicyBody(Script& in) {
  auto info = xfrm::testing::PolicyInfo();
  info->dir = static_cast<uint8_t>(in.Below(4));
  info->priority = in.Number();
  info->action = static_cast<uint8_t>(in.Below(2));
  if (in.OneIn(4)) info->index = in.Number();
  if (in.OneIn(8)) info->lft.hard_add_expires_seconds = in.Byte();
  info->sel.prefixlen_d = static_cast<uint8_t>(in.Below(34));
  return Raw(info);
}

Bytes Then(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes AcquireBody(Script& in) {
  xfrm::Zeroed<xfrm_user_acquire> wire;
  wire->id.daddr = xfrm::testing::Address("10.0.0.2");
  wire->id.proto = 50;
  const Bytes policy = PolicyBody(in);
  std::memcpy(&wire->policy, policy.data(), sizeof(wire->policy));
  return Raw(wire);
}

Bytes MigrateStateBody(Script& in) {
  static constexpr const char* kEnds[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"};
  xfrm::Zeroed<xfrm::MigrateState> wire;
  wire->id = *xfrm::testing::SaKey(0x100 + static_cast<uint32_t>(in.Below(4)));
  wire->new_saddr = xfrm::testing::Address(kEnds[in.Below(4)]);
  wire->new_daddr = xfrm::testing::Address(kEnds[in.Below(4)]);
  wire->new_reqid = static_cast<uint32_t>(in.Below(3));
  wire->flags = in.OneIn(2) ? static_cast<uint32_t>(in.Below(8)) : 0;
  wire->new_family = in.OneIn(8) ? 10 : 2;
  if (in.OneIn(4)) wire->new_sel.prefixlen_d = in.Byte();
  if (in.OneIn(8)) wire->reserved = 1;
  return Raw(wire);
}

Bytes FixedPart(RequestType type, Script& in) {
  switch (type) {
    case RequestType::kNewSa:
    case RequestType::kUpdSa:
      return SaBody(in);
    case RequestType::kExpire:
      return Then(SaBody(in), in.Some(8));
    case RequestType::kAllocSpi:
      return Then(SaBody(in), Words({in.Number(), in.Number()}));
    case RequestType::kDelSa:
    case RequestType::kGetSa:
      return Raw(xfrm::testing::SaKey(0x100 + static_cast<uint32_t>(in.Below(4))));
    case RequestType::kNewAe:
    case RequestType::kGetAe: {
      Bytes body = Raw(xfrm::testing::SaKey(0x100 + static_cast<uint32_t>(in.Below(4))));
      return Then(Then(std::move(body), Bytes(16)), Words({in.Number(), 0}));
    }
    case RequestType::kNewPolicy:
    case RequestType::kUpdPolicy:
      return PolicyBody(in);
    case RequestType::kPolExpire:
      return Then(PolicyBody(in), in.Some(8));
    case RequestType::kDelPolicy:
    case RequestType::kGetPolicy:
    case RequestType::kMigrate: {
      auto id = xfrm::testing::PolicyKey();
      id->dir = static_cast<uint8_t>(in.Below(4));
      if (in.OneIn(4)) id->index = in.Number();
      return Raw(id);
    }
    case RequestType::kAcquire:
      return AcquireBody(in);
    case RequestType::kMigrateState:
      return MigrateStateBody(in);
    case RequestType::kFlushSa:
    case RequestType::kSetDefault:
    case RequestType::kGetDefault:
      return in.Some(4);
    case RequestType::kFlushPolicy:
      return {};
    default:
      return Words({in.Number()});
  }
}

Bytes MigrateEntries(Script& in) {
  Bytes entries;
  for (std::size_t n = 1 + in.Below(3); n > 0; --n) {
    xfrm::Zeroed<xfrm_user_migrate> wire;
    static constexpr const char* kEnds[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"};
    wire->old_saddr = xfrm::testing::Address(kEnds[in.Below(4)]);
    wire->old_daddr = xfrm::testing::Address(kEnds[in.Below(4)]);
    wire->new_saddr = xfrm::testing::Address(kEnds[in.Below(4)]);
    wire->new_daddr = xfrm::testing::Address(kEnds[in.Below(4)]);
    wire->proto = 50;
    wire->mode = static_cast<uint8_t>(in.Below(5));
    wire->reqid = static_cast<uint32_t>(in.Below(3));
    wire->old_family = wire->new_family = 2;
    if (in.OneIn(4)) wire->new_family = 10;
    entries = Then(std::move(entries), Raw(wire));
  }
  return entries;
}

Bytes Templates(Script& in) {
  Bytes all;
  for (std::size_t n = in.Below(8); n > 0; --n) {
    auto wire = xfrm::testing::TunnelTemplate();
    wire->mode = static_cast<uint8_t>(in.Below(5));
    wire->reqid = static_cast<uint32_t>(in.Below(3));
    wire->optional = in.OneIn(4) ? 1 : 0;
    all = Then(std::move(all), Raw(wire));
  }
  return all;
}

Bytes AttributePayload(uint16_t type, Script& in) {
  switch (type) {
    case XFRMA_ALG_AEAD:
      return xfrm::testing::Gcm();
    case XFRMA_ALG_CRYPT:
      return xfrm::testing::Algorithm("cbc(aes)", 16);
    case XFRMA_ALG_AUTH_TRUNC:
      return xfrm::testing::AuthTrunc("hmac(sha256)", 32, 128);
    case XFRMA_TMPL:
      return Templates(in);
    case XFRMA_MIGRATE:
      return MigrateEntries(in);
    case XFRMA_ENCAP:
      return Then({2, 0, 0x11, 0x94, 0x11, 0x94}, Bytes(18));
    case XFRMA_REPLAY_ESN_VAL:
      return xfrm::testing::Esn(static_cast<uint32_t>(in.Below(5)), in.Byte(), in.Byte(),
                                in.Number());
    case XFRMA_ADDRESS_FILTER:
      return Then(Bytes(32), in.Some(4));
    case XFRMA_MARK:
    case XFRMA_OFFLOAD_DEV:
      return Words({in.Number(), in.Number()});
    case XFRMA_POLICY_TYPE:
      return {static_cast<uint8_t>(in.Below(3)), 0, 0, 0, 0, 0};
    case xfrm::kAttrSaDir:
      return {static_cast<uint8_t>(1 + in.Below(2))};
    case XFRMA_KMADDRESS:
      return Bytes(40);
    case XFRMA_LTIME_VAL:
      return Words({in.Number(), 0, in.Number(), 0, 0, 0, 0, 0});
    case XFRMA_REPLAY_VAL:
      return Words({in.Number(), in.Number(), in.Number()});
    default:
      return Words({in.Number()});
  }
}

constexpr uint16_t kUsual[] = {
    XFRMA_ALG_AEAD,      XFRMA_TMPL,        XFRMA_MIGRATE,        XFRMA_MARK,
    XFRMA_IF_ID,         XFRMA_POLICY_TYPE, XFRMA_ENCAP,          XFRMA_REPLAY_ESN_VAL,
    XFRMA_REPLAY_VAL,    XFRMA_LTIME_VAL,   XFRMA_ALG_CRYPT,      XFRMA_ALG_AUTH_TRUNC,
    xfrm::kAttrSaDir,    XFRMA_OFFLOAD_DEV, XFRMA_ADDRESS_FILTER, XFRMA_PROTO,
    XFRMA_REPLAY_THRESH, XFRMA_KMADDRESS,   xfrm::kAttrSaPcpu,    XFRMA_MTIMER_THRESH};

void PutAttribute(netlink::MessageBuilder& builder, Script& in) {
  const std::size_t choice = in.Below(std::size(kUsual) + 2);
  const uint16_t type = choice < std::size(kUsual) ? kUsual[choice] : in.Byte();
  Bytes payload = AttributePayload(type, in);
  if (in.OneIn(8)) payload.resize(in.Below(payload.size() + 8));
  if (in.OneIn(8) && !payload.empty()) payload[in.Below(payload.size())] = in.Byte();
  builder.AttributeBytes(type, payload);
}

netlink::Buffer NextRequest(Script& in) {
  const auto type = static_cast<RequestType>(0x10 + in.Below(0x1b));
  static constexpr uint16_t kFlags[] = {NLM_F_REQUEST | NLM_F_ACK, NLM_F_REQUEST,
                                        NLM_F_REQUEST | NLM_F_DUMP,
                                        NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE, 0};
  netlink::MessageBuilder builder({.type = static_cast<uint16_t>(type),
                                   .flags = kFlags[in.Below(std::size(kFlags))],
                                   .seq = in.Byte(),
                                   .pid = in.Byte()});
  Bytes fixed = FixedPart(type, in);
  if (in.OneIn(8) && !fixed.empty()) fixed[in.Below(fixed.size())] = in.Byte();
  if (in.OneIn(16)) fixed.resize(in.Below(fixed.size() + 1));
  builder.PutBytes(fixed);
  for (std::size_t n = in.Below(5); n > 0; --n) PutAttribute(builder, in);
  netlink::Buffer message = std::move(builder).Finish();
  if (in.OneIn(16)) message[in.Below(16)] = in.Byte();  // damages the header itself
  return message;
}

// --- The world ---

class World {
 public:
  World() : poller_(std::move(*Poller::Create())), engines_(*EngineSet::ForCpu("openssl")) {
    XfrmServerOptions options;
    options.max_queued_bytes = 4096;
    options.larval_seconds = [] { return 30u; };
    server_ = std::make_unique<XfrmServer>(poller_.get(), options);
    ControlPlaneParams params;
    params.path = &path_;
    params.clock = &clock_;
    params.engines = &engines_;
    params.listener = server_.get();
    control_ = std::make_unique<ControlPlane>(std::move(params));
    server_->Start(control_.get());
    for (std::size_t i = 0; i < clients_.size(); ++i) Reconnect(i);
  }

  void Step(Script& in) {
    const std::size_t who = in.Below(clients_.size());
    test::XfrmClient& client = *clients_[who];
    switch (in.Below(12)) {
      case 0:
        client.Bind(in.Byte(), in.Word());
        break;
      case 1:
        client.Option(static_cast<int>(in.Below(13)), static_cast<int>(in.Below(2)));
        break;
      case 2:
        Reconnect(who);
        break;
      case 3:
        clock_.wall_seconds += in.Byte();
        control_->Tick();
        break;
      case 4:
        AskForSa(in);
        break;
      case 5:
        (void)client.Send(in.Some(in.Below(64)));
        break;
      case 6:
        Read(who);
        break;
      default:
        Send(client, in);
    }
    Serve();
    // The request must be consumed, unless a dump waits for the client to read.
    CYGNET_CHECK(clients_[who]->Unconsumed() == 0);
    path_.quiescence.Collect();
  }

  // A well-behaved client is served, whatever the others did.
  void Finish() {
    test::XfrmClient good(server_.get());
    Serve();
    const auto ask = xfrm::testing::Message(RequestType::kGetSadInfo).Put(uint32_t{0}).Finish();
    CYGNET_CHECK(good.Send(ask));
    Serve();
    const Bytes answer = good.Receive();
    CYGNET_CHECK(!answer.empty());
    CYGNET_CHECK(test::HeaderOf(answer).nlmsg_type ==
                 static_cast<uint16_t>(RequestType::kNewSadInfo));
    for (std::size_t who = 0; who < clients_.size(); ++who) Read(who);
  }

 private:
  void Serve() {
    while (poller_->RunOnce(0) > 0) {
    }
  }

  void Reconnect(std::size_t who) {
    clients_[who] = std::make_unique<test::XfrmClient>(server_.get());
    clients_[who]->Bind(static_cast<uint32_t>(100 + who), who == 0 ? 0xff : 0);
    Serve();
  }

  static void Send(test::XfrmClient& client, Script& in) {
    netlink::Buffer datagram;
    for (std::size_t n = 1 + in.Below(3); n > 0; --n) {
      const netlink::Buffer message = NextRequest(in);
      datagram.insert(datagram.end(), message.begin(), message.end());
    }
    (void)client.Send(datagram);
  }

  void AskForSa(Script& in) {
    const auto policies = path_.spd.List();
    if (policies.empty()) return;
    const auto& policy = policies[in.Below(policies.size())];
    if (policy->spec.direction != PolicyDirection::kOut) return;
    PolicyView view{.spec = policy->spec, .usage = {}};
    if (view.spec.templates.empty()) return;
    server_->OnControlEvent(Acquire{.flow = {.saddr = {}, .daddr = {}, .family = IpFamily::kV4},
                                    .ifindex = 1,
                                    .policy = view,
                                    .template_index = in.Below(view.spec.templates.size()),
                                    .saddr = {},
                                    .daddr = {},
                                    .seq = in.Word()},
                            {});
  }

  void Read(std::size_t who) {
    constexpr int kMost = 200;
    for (int i = 0; i < kMost; ++i) {
      const Bytes datagram = clients_[who]->Receive();
      if (datagram.empty()) return;
      std::span<const uint8_t> rest(datagram);
      while (netlink::NextMessage(rest)) {
      }
      CYGNET_CHECK(rest.empty());
      Serve();
    }
  }

  std::unique_ptr<Poller> poller_;
  test::FakeClock clock_;
  EngineSet engines_;
  DataPath path_{1};
  std::unique_ptr<XfrmServer> server_;
  std::unique_ptr<ControlPlane> control_;
  std::array<std::unique_ptr<test::XfrmClient>, 4> clients_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  constexpr int kMostSteps = 200;
  Script script(data, size);
  World world;
  for (int i = 0; i < kMostSteps && !script.empty(); ++i) world.Step(script);
  world.Finish();
  return 0;
}
