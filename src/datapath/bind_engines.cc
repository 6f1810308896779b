#include "datapath/bind_engines.h"

#include <string>
#include <utility>

#include "esp/crypto_jobs.h"

namespace cygnet {
namespace {

Result<SharedSession> GiveToEngine(uint32_t engine, const SessionParams& params,
                                   const HalfToBind& it) {
  CryptoEngine& holder = *it.inputs.engines->engine(engine);
  const std::shared_ptr<KeyObserver>& keys = it.inputs.keys;
  if (keys == nullptr) {
    auto session = holder.CreateSession(params);
    if (!session) return session.error();
    return SharedSession(*std::move(session));
  }
  const auto key = keys->GiveToEngine(engine, it.spec, it.half);
  if (!key) {
    return MakeError(key.error().code,
                     std::string(Meaning(ReasonCode::kNotRecorded)) + ": " + key.error().message);
  }
  auto session = holder.CreateSession(params);
  if (!session) {
    keys->NotTaken(*key, session.error().message);
    return session.error();
  }
  return SharedSession(*std::move(session), keys, *key);
}

Result<EngineSession> ShadowSessionFor(CryptoDirection direction, const HalfToBind& it,
                                       const EngineSession* now) {
  const uint32_t threads = IsInbound(it.half) ? it.inputs.queues : it.inputs.wires;
  return SessionOn(EngineKind::kCpu, esp::SessionFor(it.spec, direction, threads), it, now);
}

}  // namespace

Result<EngineSession> SessionOn(EngineKind kind, const SessionParams& params, const HalfToBind& it,
                                const EngineSession* now) {
  const auto number = ChooseEngine(kind, params, *it.inputs.engines, it.inputs.engine_denied);
  if (!number) return number.error();
  if (now != nullptr && now->session != nullptr && now->engine == *number) return *now;
  auto session = GiveToEngine(*number, params, it);
  if (!session) return session.error();
  return EngineSession{*std::move(session), static_cast<uint8_t>(*number)};
}

// Outbound, the CPU opens. Inbound, it seals again what crypto offload opened, and opens the copies
// of packet offload; packets that such a device opened but did not accept may come up, too.
Result<std::shared_ptr<ShadowSession>> ShadowOf(OffloadMode mode, const HalfToBind& it) {
  const std::shared_ptr<ShadowSession> now =
      it.inputs.current != nullptr ? it.inputs.current->rare().shadow : nullptr;
  const bool inbound = IsInbound(it.half);
  const bool packet = mode == OffloadMode::kPacket;
  EngineSession open;
  EngineSession seal;
  if (!inbound || packet) {
    auto made = ShadowSessionFor(CryptoDirection::kOpen, it, now ? &now->open : nullptr);
    if (!made) return made.error();
    open = *std::move(made);
  }
  if (inbound) {
    auto made = ShadowSessionFor(CryptoDirection::kSeal, it, now ? &now->seal : nullptr);
    if (!made) return made.error();
    seal = *std::move(made);
  }
  if (now && now->open.session == open.session && now->seal.session == seal.session) return now;
  const uint64_t highest = inbound ? it.inputs.highest.value_or(it.spec.replay.seq) : 0;
  auto shadow = std::make_shared<ShadowSession>(highest, inbound && it.spec.esn(),
                                                packet ? ShadowSession::kWindow : 0);
  shadow->open = std::move(open);
  shadow->seal = std::move(seal);
  return shadow;
}

}  // namespace cygnet
