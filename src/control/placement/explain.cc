#include "control/placement/explain.h"

#include <utility>

#include "esp/crypto_jobs.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

Result<SaAlgorithm> AlgorithmFor(AlgorithmKind kind, const std::string& name, uint32_t key_bits,
                                 uint32_t icv_bits) {
  SaAlgorithm algorithm;
  algorithm.descriptor = FindAlgorithm(kind, name);
  if (algorithm.descriptor == nullptr) {
    return MakeError(Errc::kNotImplemented, "unknown algorithm '" + name + "'");
  }
  const AlgorithmDescriptor& row = *algorithm.descriptor;
  const std::size_t key =
      (key_bits != 0 ? key_bits / 8 : row.key_bytes[0]) + std::size_t{row.salt_bytes};
  if (key_bits % 8 != 0 || !row.AcceptsKeyMaterial(key)) {
    return MakeError(Errc::kInvalid,
                     name + " does not support keys of " + std::to_string(key_bits) + " bits");
  }
  algorithm.key = KeyMaterial(std::vector<uint8_t>(key));  // zeros: only the length matters
  if (kind == AlgorithmKind::kCipher) return algorithm;
  const uint32_t usual = kind == AlgorithmKind::kAead ? row.icv_bytes[0] : row.default_icv_bytes();
  const uint32_t icv = icv_bits != 0 ? icv_bits / 8 : usual;
  if (icv_bits % 8 != 0 || !row.AcceptsIcv(icv)) {
    return MakeError(Errc::kInvalid,
                     name + " does not support an ICV of " + std::to_string(icv_bits) + " bits");
  }
  algorithm.icv_bits = static_cast<uint16_t>(icv * 8);
  return algorithm;
}

Status SetAlgorithms(const ExplainQuery& query, SaSpec* spec) {
  if (!query.aead.empty() ? !query.cipher.empty() || !query.auth.empty()
                          : query.cipher.empty() || query.auth.empty()) {
    return MakeError(Errc::kInvalid, "name an AEAD, or a cipher and an authenticator");
  }
  if (!query.aead.empty()) {
    auto aead = AlgorithmFor(AlgorithmKind::kAead, query.aead, query.key_bits, query.icv_bits);
    if (!aead) return aead.error();
    spec->aead = *std::move(aead);
    return {};
  }
  auto cipher = AlgorithmFor(AlgorithmKind::kCipher, query.cipher, query.key_bits, 0);
  if (!cipher) return cipher.error();
  auto auth = AlgorithmFor(AlgorithmKind::kAuth, query.auth, 0, query.icv_bits);
  if (!auth) return auth.error();
  spec->pair.Change()->cipher = *std::move(cipher);
  spec->pair.Change()->auth = *std::move(auth);
  return {};
}

Result<SaSpec> SpecFor(const ExplainQuery& query) {
  SaSpec spec;
  spec.proto = kProtoEsp;
  spec.family = query.ipv6 ? IpFamily::kV6 : IpFamily::kV4;
  if (query.mode == "tunnel") {
    spec.mode = SaMode::kTunnel;
  } else if (query.mode == "transport") {
    spec.mode = SaMode::kTransport;
  } else if (query.mode == "beet") {
    spec.mode = SaMode::kBeet;
  } else {
    return MakeError(Errc::kInvalid, "mode: unknown mode '" + query.mode + "'");
  }
  CYGNET_RETURN_IF_ERROR(SetAlgorithms(query, &spec));
  if (query.encap) spec.encap = UdpEncap{};
  if (query.esn) spec.flags |= kSaFlagEsn;
  spec.replay.window = query.replay_window;
  spec.rare.Set(&SaRare::tfc_pad, query.tfc ? 1 : 0);
  return spec;
}

std::optional<PlacementReason> DeniedAlgorithm(const SaSpec& spec, const ExplainContext& context) {
  return context.gate != nullptr ? context.gate->DenyAlgorithm(spec) : std::nullopt;
}

ExplainRow RowOf(Half half, std::string requirement,
                 const std::optional<PlacementReason>& failure) {
  return {.direction = std::string(Name(half)),
          .requirement = std::move(requirement),
          .ok = !failure.has_value(),
          .reason = failure.has_value() ? failure->Text() : "",
          .explanation = failure.has_value() ? failure->Explanation() : ""};
}

// Where an SA like this would run, given the device's obstacle.
ExplainReport::Verdict VerdictOf(const SaSpec& spec, Half half, const ExplainQuery& query,
                                 const ExplainContext& context,
                                 const std::optional<PlacementReason>& obstacle) {
  ExplainReport::Verdict verdict;
  verdict.direction = Name(half);
  if (!obstacle.has_value()) {
    verdict.offloaded = true;
    verdict.effective = "crypto";
    verdict.where = query.device;
    verdict.reason = Name(ReasonCode::kRequested);
    verdict.explanation = Meaning(ReasonCode::kRequested);
    return verdict;
  }
  verdict.reason = obstacle->Text();
  verdict.explanation = obstacle->Explanation();
  verdict.effective = "refused";
  const PlacementMode mode = query.offload;
  const bool strict = mode == PlacementMode::kRequired || mode == PlacementMode::kPacket ||
                      context.device.mode == PlacementMode::kRequired;
  // The kernel refuses a client's crypto offload for these instead of falling back.
  const bool esn = obstacle->code == ReasonCode::kNoCapability &&
                   (obstacle->detail.str() == "esn" || obstacle->detail.str() == "tfc-padding");
  const bool nowhere = DeniedAlgorithm(spec, context).has_value();
  if (strict || nowhere || (mode == PlacementMode::kCrypto && esn)) return verdict;
  const SessionParams session = esp::SessionFor(spec, DirectionOf(half), 1);
  for (const EngineKind kind : {EngineKind::kLookAside, EngineKind::kCpu}) {
    if (kind == EngineKind::kLookAside && context.look_aside == LookAsideMode::kNo) continue;
    const auto engine = ChooseEngine(kind, session, *context.engines, context.engine_denied);
    if (!engine) continue;
    verdict.effective = kind == EngineKind::kCpu ? "software" : "look-aside";
    verdict.where = context.engines->engine(*engine)->name();
    break;
  }
  return verdict;
}

void ExplainHalf(const SaSpec& spec, Half half, const ExplainQuery& query,
                 const ExplainContext& context, ExplainReport* report) {
  std::vector<Requirement> all =
      CheckDevice(spec, half, &context.device, query.offload, SlotClaim::kNewcomer);
  all.insert(all.begin(), Requirement{"approved-algorithm", DeniedAlgorithm(spec, context)});
  // The kernel refuses TFC padding to clients, so it never reaches placement for them.
  if (spec.rare->tfc_pad != 0) {
    all.push_back({"tfc", PlacementReason{ReasonCode::kNoCapability, "tfc-padding"}});
  }
  std::optional<PlacementReason> first;
  for (const Requirement& requirement : all) {
    if (!first.has_value()) first = requirement.failure;
    report->rows.push_back(RowOf(half, requirement.name, requirement.failure));
  }
  if (query.offload == PlacementMode::kNo) {
    first = PlacementReason{ReasonCode::kNotRequested, {}};
  }
  report->verdicts.push_back(VerdictOf(spec, half, query, context, first));
}

}  // namespace

Result<ExplainReport> ExplainPlacement(const ExplainQuery& query, const ExplainContext& context) {
  auto spec = SpecFor(query);
  if (!spec) return spec.error();
  ExplainReport report{.device = query.device, .rows = {}, .verdicts = {}};
  for (const Half half : kHalves) {
    if (query.half.value_or(half) != half) continue;
    ExplainHalf(*spec, half, query, context, &report);
  }
  return report;
}

}  // namespace cygnet
