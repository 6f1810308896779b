#include "plugin/plugin_engine_module.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>

#include "base/log.h"
#include "base/plain_text.h"
#include "plugin/trial.h"

namespace cygnet::plugin_engine {
namespace {

constexpr uint32_t kMaxQueueDepth = 65536;

LogLevel LevelOf(uint32_t level) {
  if (level <= CYGNET_LOG_ERROR) return LogLevel::kError;
  if (level == CYGNET_LOG_WARNING) return LogLevel::kWarning;
  return level <= CYGNET_LOG_INFO ? LogLevel::kInfo : LogLevel::kDebug;
}

// By the plug-in: bounded, printable.
std::string TextOf(const char* text) {
  constexpr std::size_t kLongest = 1024;
  return text == nullptr ? std::string() : PlainText({text, strnlen(text, kLongest)});
}

bool IsName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= CYGNET_ENGINE_NAME_BYTES &&
         std::ranges::all_of(name, allowed);
}

bool IsBuiltIn(std::string_view name) {
  return std::ranges::any_of(BuiltinEngines(),
                             [name](const EngineInfo* info) { return info->name == name; });
}

cygnet_algorithm Describe(const AlgorithmDescriptor* row, std::span<const uint8_t> key,
                          std::size_t key_bytes, uint32_t icv_bytes) {
  if (row == nullptr) return {};
  return {.name = row->name.data(),  // texts of the table are literals
          .key = {.data = key.data(), .length = static_cast<uint32_t>(key_bytes)},
          .salt_bytes = row->salt_bytes,
          .iv_bytes = row->iv_bytes,
          .icv_bytes = icv_bytes};
}

cygnet_session_params Describe(const SessionParams& params) {
  const bool pair = params.auth != nullptr;
  const uint32_t direction = params.direction == CryptoDirection::kSeal ? CYGNET_SEAL : CYGNET_OPEN;
  return {.size = sizeof(cygnet_session_params),
          .direction = direction,
          .queues = params.queues,
          .cipher =
              Describe(params.cipher, params.key, params.key.size(), pair ? 0u : params.icv_bytes),
          .auth = Describe(params.auth, params.auth_key, params.auth_key.size(), params.icv_bytes)};
}

uint64_t NowNs(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Errc ErrcOf(int32_t answer) {
  switch (-answer) {
    case ENOSPC:
      return Errc::kNoSpace;
    case ENETDOWN:
      return Errc::kNetworkDown;
    case EOPNOTSUPP:
      return Errc::kNotSupported;
    case ENOMEM:
      return Errc::kNoMemory;
    case EACCES:
      return Errc::kAccess;
    case ENODEV:
      return Errc::kNoDevice;
    default:
      return Errc::kInvalid;
  }
}

}  // namespace

Module::Module(const PluginEngineSettings& settings) : patience_(settings.patience) {
  host_ = {
      .abi = CYGNET_ABI,
      .size = sizeof(cygnet_host),
      .context = this,
      .log =
          [](void* context, uint32_t level, const char* text) {
            Log(LevelOf(level), static_cast<Module*>(context)->name_ + ": " + TextOf(text));
          },
      .ring = [](void* context) { static_cast<Module*>(context)->rung_.store(true, kRelaxed); },
      .monotonic_ns = [](void*) { return NowNs(CLOCK_MONOTONIC); },
      .wall_seconds = [](void*) { return NowNs(CLOCK_REALTIME) / 1'000'000'000; }};
}

Module::~Module() {
  NoteStep("close");
  if (engine_ != nullptr) calls_.close(engine_);
}

// Copies what the plug-in was compiled with: members behind that stay nullptr.
Status Module::TakeTable(const cygnet_engine* table) {
  if (table == nullptr) return MakeError(Errc::kNotSupported, "the plug-in refuses this host");
  if (table->abi != CYGNET_ABI) {
    return MakeError(Errc::kNotSupported, "the plug-in's interface has version " +
                                              std::to_string(table->abi) + ", this host's " +
                                              std::to_string(CYGNET_ABI));
  }
  std::memcpy(&calls_, table, std::min<std::size_t>(table->size, sizeof(calls_)));
  const struct {
    const char* name;
    bool present;
  } required[] = {
      {"open", calls_.open != nullptr},
      {"close", calls_.close != nullptr},
      {"supports", calls_.supports != nullptr},
      {"session_create", calls_.session_create != nullptr},
      {"session_destroy", calls_.session_destroy != nullptr},
      {"queue_create", calls_.queue_create != nullptr},
      {"queue_destroy", calls_.queue_destroy != nullptr},
      {"submit", calls_.submit != nullptr},
      {"poll", calls_.poll != nullptr},
  };
  for (const auto& function : required) {
    if (function.present) continue;
    return MakeError(Errc::kNotSupported,
                     "the plug-in lacks the function " + std::string(function.name));
  }
  const int wait = (calls_.wait_fd != nullptr) + (calls_.prepare_wait != nullptr) +
                   (calls_.finish_wait != nullptr);
  if (wait != 0 && wait != 3) {
    return MakeError(Errc::kNotSupported,
                     "the plug-in has some of wait_fd, prepare_wait and finish_wait, but not all");
  }
  return TakeTexts();
}

Status Module::TakeTexts() {
  name_ = TextOf(calls_.name);
  version_ = TextOf(calls_.version);
  vendor_ = TextOf(calls_.vendor);
  help_ = TextOf(calls_.help);
  if (help_.empty()) help_ = "plug-in" + (vendor_.empty() ? "" : " of " + vendor_);
  if (!IsName(name_)) {
    return MakeError(Errc::kInvalid, "the plug-in's name must be 1 to 31 of a-z, 0-9, '_' and '-'");
  }
  if (IsBuiltIn(name_)) {
    return MakeError(Errc::kExists, "the plug-in has the name of a built-in engine: " + name_);
  }
  info_ = {.name = name_,
           .help = help_,
           .kind = EngineKind::kLookAside,
           .probe = [] { return 1; },
           .create = nullptr,
           .version = nullptr};
  return {};
}

Status Module::Start(const PluginEngineSettings& settings) {
  std::vector<cygnet_option> options;
  std::vector<std::string> keys;
  keys.reserve(settings.options.size());
  for (const std::string& option : settings.options) {
    const std::size_t equals = option.find('=');
    keys.push_back(option.substr(0, equals));
    options.push_back({.key = keys.back().c_str(),
                       .value = equals == std::string::npos ? "" : option.c_str() + equals + 1});
  }
  const EngineOptions& engine = settings.engine;
  const cygnet_engine_config config = {
      .size = sizeof(config),
      .queues = std::clamp(settings.queues, 1u, kMaxCryptoQueues),
      .queue_depth = std::clamp(engine.queue_depth, 1u, kMaxQueueDepth),
      .threads = engine.threads,
      .session_limit = engine.session_limit,
      .fips = engine.fips ? 1u : 0u,
      .options = options.data(),
      .option_count = static_cast<uint32_t>(options.size())};
  cygnet_refusal refusal{};
  refusal.size = sizeof(refusal);
  void* opened = nullptr;
  NoteStep("open");
  if (const int32_t answer = calls_.open(&host_, &config, &opened, &refusal); answer != 0) {
    return Refusal(answer, refusal);
  }
  if (opened == nullptr) return MakeError(Errc::kInvalid, name_ + ": open() returned no engine");
  engine_ = opened;
  return TakeLimits(engine);
}

Status Module::TakeLimits(const EngineOptions& options) {
  cygnet_engine_limits limits{};
  limits.size = sizeof(limits);
  NoteStep("limits");
  if (calls_.limits != nullptr) {
    if (const int32_t answer = calls_.limits(engine_, &limits); answer != 0) {
      return MakeError(ErrcOf(answer), name_ + ": limits() failed");
    }
  }
  const auto smaller = [](uint32_t a, uint32_t b) {
    return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
  };
  session_limit_ = smaller(options.session_limit, limits.sessions);
  queue_depth_ = smaller(std::clamp(options.queue_depth, 1u, kMaxQueueDepth), limits.queue_depth);
  text_bytes_ = limits.text_bytes == 0 ? ~uint32_t{0} : limits.text_bytes;
  return {};
}

Result<std::shared_ptr<Module>> Module::Open(const cygnet_engine* table,
                                             const PluginEngineSettings& settings) {
  std::shared_ptr<Module> module(new Module(settings));
  CYGNET_RETURN_IF_ERROR(module->TakeTable(table));
  CYGNET_RETURN_IF_ERROR(module->Start(settings));
  NoteStep("supports");
  module->FindSuites();
  NoteStep("");
  return module;
}

// Asks once: the data path looks often.
void Module::FindSuites() {
  for (const AlgorithmDescriptor& cipher : AllAlgorithms()) {
    if (cipher.kind == AlgorithmKind::kAead) {
      does_[Place(cipher, nullptr)] = DoesSomeLength(cipher, nullptr);
    }
    if (cipher.kind != AlgorithmKind::kCipher) continue;
    for (const AlgorithmDescriptor& auth : AllAlgorithms()) {
      if (auth.kind != AlgorithmKind::kAuth) continue;
      does_[Place(cipher, &auth)] = DoesSomeLength(cipher, &auth);
    }
  }
}

bool Module::DoesSomeLength(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) {
  const AlgorithmDescriptor& integrity = auth != nullptr ? *auth : cipher;
  cygnet_session_params params = {
      .size = sizeof(params), .direction = CYGNET_SEAL, .queues = 1, .cipher = {}, .auth = {}};
  for (const uint16_t key : cipher.key_bytes) {
    if (key == 0 && cipher.key_bytes[0] != 0) continue;
    for (const uint8_t icv : integrity.icv_bytes) {
      if (icv == 0) continue;
      params.cipher =
          Describe(&cipher, {}, std::size_t{key} + cipher.salt_bytes, auth != nullptr ? 0u : icv);
      if (auth != nullptr) params.auth = Describe(auth, {}, auth->key_bytes[0], icv);
      if (calls_.supports(engine_, &params) == 0) return true;
    }
  }
  return false;
}

Error Module::Refusal(int32_t answer, const cygnet_refusal& refusal) const {
  const std::size_t length = strnlen(refusal.text, sizeof(refusal.text));
  std::string text = PlainText({refusal.text, length});
  if (text.empty()) text = "refused with errno " + std::to_string(-answer);
  return MakeError(ErrcOf(answer), name_ + ": " + text);
}

void Module::Fail(const std::string& why) {
  {
    const std::lock_guard lock(failure_lock_);
    if (!failure_.empty()) return;
    failure_ = why;
  }
  failed_.store(true, std::memory_order_release);
  Log(LogLevel::kError, "crypto engine " + name_ + " has failed: " + why +
                            "; it gets no more jobs, the CPU does them");
}

std::string Module::failure() const {
  const std::lock_guard lock(failure_lock_);
  return failure_;
}

bool Module::IsUp() {
  if (failed()) return false;
  if (calls_.state == nullptr) return true;
  const uint32_t state = calls_.state(engine_);
  if (state == CYGNET_ENGINE_UP) return true;
  if (state == CYGNET_ENGINE_FAILED) {
    Fail("it reports that it has failed");
  } else if (state != CYGNET_ENGINE_DOWN) {
    Fail("it reports the unknown state " + std::to_string(state));
  }
  return false;
}

Result<void*> Module::CreateSession(const SessionParams& params) {
  const std::lock_guard lock(control_);
  if (!IsUp()) return MakeError(Errc::kNetworkDown, name_ + ": the engine is not up");
  if (session_limit_ != 0 && sessions_.size() >= session_limit_) {
    return MakeError(Errc::kNoSpace, name_ + ": no more sessions");
  }
  const cygnet_session_params described = Describe(params);
  cygnet_refusal refusal{};
  refusal.size = sizeof(refusal);
  void* session = nullptr;
  const int32_t answer = calls_.session_create(engine_, &described, &session, &refusal);
  if (answer != 0) return Refusal(answer, refusal);
  if (session == nullptr || !sessions_.insert(session).second) {
    Fail(session == nullptr ? "session_create() returned no session"
                            : "session_create() returned a session that exists");
    return MakeError(Errc::kNetworkDown, name_ + ": " + failure());
  }
  return session;
}

void Module::DestroySession(void* session) {
  const std::lock_guard lock(control_);
  sessions_.erase(session);
  calls_.session_destroy(engine_, session);
}

void* Module::CreateQueue(uint32_t number) {
  const std::lock_guard lock(control_);
  void* queue = nullptr;
  const int32_t answer = failed() ? -ENETDOWN : calls_.queue_create(engine_, number, &queue);
  if (answer != 0) {
    Log(LogLevel::kWarning, name_ + ": refuses a queue with errno " + std::to_string(-answer) +
                                ": the CPU does the jobs of thread " + std::to_string(number));
    return nullptr;
  }
  if (queue == nullptr || !queues_.insert(queue).second) {
    Fail(queue == nullptr ? "queue_create() returned no queue"
                          : "queue_create() returned a queue that exists");
    return nullptr;
  }
  return queue;
}

void Module::DestroyQueue(void* queue) {
  const std::lock_guard lock(control_);
  queues_.erase(queue);
  calls_.queue_destroy(engine_, queue);
}

ModuleIdentity Module::identity() {
  const std::lock_guard lock(control_);
  cygnet_identity identity{};
  identity.size = sizeof(identity);
  if (calls_.identity == nullptr || calls_.identity(engine_, &identity) != 0) {
    return {.model = name_, .version = version_};
  }
  return {.model = TextOf(identity.model),
          .version = TextOf(identity.version),
          .serial = TextOf(identity.serial)};
}

EngineStats Module::stats() {
  (void)IsUp();
  EngineStats stats{.jobs = done_.load(kRelaxed),
                    .refused = refused_.load(kRelaxed),
                    .not_done = not_done_.load(kRelaxed),
                    .session_limit = session_limit_,
                    .in_flight = in_flight_.load(kRelaxed)};
  const std::lock_guard lock(control_);
  stats.sessions = static_cast<uint32_t>(sessions_.size());
  return stats;
}

}  // namespace cygnet::plugin_engine
