// A built-in engine of the CPU as a plug-in: libcygnet_builtin_engine.so. Its option "engine"
// selects which; OpenSSL's is the default. For tests of the interface, and to measure what it
// costs: the daemon has the same engines without it.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/crypto_engine.h"
#include "cygnet/engine.h"

namespace cygnet {
namespace {

constexpr std::size_t kBurst = 64;

struct Engine {
  std::unique_ptr<CryptoEngine> inner;
  ModuleIdentity identity;
  uint32_t depth;
};

// Jobs are finished in submit; their completions wait here for poll.
struct Queue {
  std::unique_ptr<CryptoQueue> inner;
  std::vector<cygnet_completion> done;  // a ring; its size is a power of two
  uint32_t depth;
  uint32_t head = 0;
  uint32_t tail = 0;
};

int32_t Refuse(cygnet_refusal* refusal, int error, const std::string& text) {
  std::snprintf(refusal->text, sizeof(refusal->text), "%s", text.c_str());
  return -error;
}

int32_t Open(const cygnet_host*, const cygnet_engine_config* config, void** engine,
             cygnet_refusal* refusal) {
  std::string_view wanted = "openssl";
  for (const cygnet_option& option : std::span(config->options, config->option_count)) {
    if (std::string_view(option.key) != "engine") {
      return Refuse(refusal, EINVAL, "unknown option " + std::string(option.key));
    }
    wanted = option.value;
  }
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name != wanted || info->kind != EngineKind::kCpu || info->probe() == 0) continue;
    auto opened = std::make_unique<Engine>();
    opened->inner = info->create({.fips = config->fips == 1});
    opened->identity = opened->inner->identity();
    opened->depth = config->queue_depth;
    *engine = opened.release();
    return 0;
  }
  return Refuse(refusal, ENODEV, "no such engine runs here: " + std::string(wanted));
}

void Close(void* engine) { delete static_cast<Engine*>(engine); }

int32_t Identity(void* engine, cygnet_identity* identity) {
  const ModuleIdentity& module = static_cast<Engine*>(engine)->identity;
  identity->simulated = 1;
  identity->model = module.model.c_str();
  identity->version = module.version.c_str();
  return 0;
}

// Errc::kNotSupported: the table lacks an algorithm.
Result<SessionParams> ParamsOf(const cygnet_session_params& params) {
  const bool pair = params.auth.name != nullptr;
  SessionParams out{
      .cipher =
          FindAlgorithm(pair ? AlgorithmKind::kCipher : AlgorithmKind::kAead, params.cipher.name),
      .key = {params.cipher.key.data, params.cipher.key.length},
      .icv_bytes = static_cast<uint8_t>(pair ? params.auth.icv_bytes : params.cipher.icv_bytes),
      .direction =
          params.direction == CYGNET_SEAL ? CryptoDirection::kSeal : CryptoDirection::kOpen,
      .queues = params.queues};
  if (pair) {
    out.auth = FindAlgorithm(AlgorithmKind::kAuth, params.auth.name);
    out.auth_key = {params.auth.key.data, params.auth.key.length};
  }
  if (out.cipher == nullptr || (pair && out.auth == nullptr)) {
    return MakeError(Errc::kNotSupported, "unknown algorithm");
  }
  return out;
}

int32_t Supports(void* engine, const cygnet_session_params* params) {
  const auto asked = ParamsOf(*params);
  if (!asked) return -EOPNOTSUPP;
  return CheckSessionParams(*static_cast<Engine*>(engine)->inner, *asked) ? 0 : -EOPNOTSUPP;
}

int32_t SessionCreate(void* engine, const cygnet_session_params* params, void** session,
                      cygnet_refusal* refusal) {
  const auto asked = ParamsOf(*params);
  if (!asked) return Refuse(refusal, EOPNOTSUPP, asked.error().message);
  auto made = static_cast<Engine*>(engine)->inner->CreateSession(*asked);
  if (!made) return Refuse(refusal, static_cast<int>(made.error().code), made.error().message);
  *session = (*std::move(made)).release();
  return 0;
}

void SessionDestroy(void*, void* session) { delete static_cast<CryptoSession*>(session); }

int32_t QueueCreate(void* engine, uint32_t number, void** queue) {
  const auto* opened = static_cast<Engine*>(engine);
  auto made = std::make_unique<Queue>();
  made->inner = opened->inner->CreateQueue(number);
  made->depth = opened->depth;
  made->done.resize(std::bit_ceil(opened->depth));
  *queue = made.release();
  return 0;
}

void QueueDestroy(void*, void* queue) { delete static_cast<Queue*>(queue); }

CryptoJob JobOf(const cygnet_crypto_job& job) {
  CryptoJob out;
  out.session = static_cast<CryptoSession*>(job.session);
  out.text = job.text;
  out.text_length = job.text_length;
  out.aad_length = job.aad_length;
  std::copy(std::begin(job.nonce), std::end(job.nonce), out.nonce.begin());
  std::copy(std::begin(job.aad), std::end(job.aad), out.aad.begin());
  out.icv = job.icv;
  out.auth_begin = job.auth_begin;
  out.esn_high = job.esn_high;
  out.append_esn_high = job.append_esn_high == 1;
  return out;
}

uint32_t StatusOf(CryptoStatus status) {
  switch (status) {
    case CryptoStatus::kOk:
      return CYGNET_OK;
    case CryptoStatus::kAuthFailed:
      return CYGNET_AUTH_FAILED;
    case CryptoStatus::kNotDone:
      return CYGNET_NOT_DONE;
    default:
      return CYGNET_ERROR;
  }
}

uint32_t Submit(void* queue, cygnet_crypto_job* const* jobs, uint32_t count) {
  auto* q = static_cast<Queue*>(queue);
  const uint32_t room = q->depth - (q->tail - q->head);
  const auto n = std::min<std::size_t>({count, room, kBurst});
  std::array<CryptoJob, kBurst> inner;
  for (std::size_t i = 0; i < n; ++i) inner[i] = JobOf(*jobs[i]);
  q->inner->Submit(std::span(inner).first(n));
  for (std::size_t i = 0; i < n; ++i) {
    q->done[q->tail++ & (q->done.size() - 1)] = {
        .cookie = jobs[i]->cookie, .status = StatusOf(inner[i].status), .reserved = 0};
  }
  return static_cast<uint32_t>(n);
}

uint32_t Poll(void* queue, cygnet_completion* done, uint32_t room) {
  auto* q = static_cast<Queue*>(queue);
  const uint32_t n = std::min(room, q->tail - q->head);
  for (uint32_t i = 0; i < n; ++i) done[i] = q->done[q->head++ & (q->done.size() - 1)];
  return n;
}

constexpr cygnet_engine kTable = {
    .abi = CYGNET_ABI,
    .size = sizeof(cygnet_engine),
    .name = "builtin",
    .version = CYGNET_VERSION,
    .vendor = "Cygnet",
    .help = "a built-in engine of the CPU as a plug-in, for tests",
    .open = Open,
    .close = Close,
    .identity = Identity,
    .limits = nullptr,
    .state = nullptr,
    .supports = Supports,
    .session_create = SessionCreate,
    .session_destroy = SessionDestroy,
    .queue_create = QueueCreate,
    .queue_destroy = QueueDestroy,
    .submit = Submit,
    .poll = Poll,
    .wait_fd = nullptr,
    .prepare_wait = nullptr,
    .finish_wait = nullptr,
};

}  // namespace
}  // namespace cygnet

extern "C" const cygnet_engine* cygnet_engine_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &cygnet::kTable : nullptr;
}
