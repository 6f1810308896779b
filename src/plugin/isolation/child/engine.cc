#include "plugin/isolation/child/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>

#include "plugin/isolation/child/engine_queue.h"
#include "plugin/isolation/child/sandbox.h"
#include "plugin/isolation/engine_message.h"

namespace cygnet::isolation {
namespace {

constexpr uint32_t kMaxOptions = 256;

const cygnet_engine* table = nullptr;
cygnet_engine calls{};  // what the plug-in does not have is NULL
void* engine = nullptr;
bool files_shut = false;

uint32_t Functions() {
  const struct {
    bool has;
    uint32_t bit;
  } rows[] = {
      {calls.open != nullptr, kHasOpen},
      {calls.close != nullptr, kHasClose},
      {calls.identity != nullptr, kHasIdentity},
      {calls.limits != nullptr, kHasLimits},
      {calls.state != nullptr, kHasState},
      {calls.supports != nullptr, kHasSupports},
      {calls.session_create != nullptr, kHasSessionCreate},
      {calls.session_destroy != nullptr, kHasSessionDestroy},
      {calls.queue_create != nullptr, kHasQueueCreate},
      {calls.queue_destroy != nullptr, kHasQueueDestroy},
      {calls.submit != nullptr, kHasSubmit},
      {calls.poll != nullptr, kHasPoll},
      {calls.wait_fd != nullptr && calls.prepare_wait != nullptr && calls.finish_wait != nullptr,
       kHasWait}};
  uint32_t bits = 0;
  for (const auto& row : rows) bits |= row.has ? row.bit : 0;
  return bits;
}

void ShowState() {
  if (engine == nullptr) return;
  const uint32_t state = calls.state != nullptr ? calls.state(engine) : uint32_t{CYGNET_ENGINE_UP};
  Page().state.store(state, std::memory_order_release);
}

int32_t Open(Request* request, Writer* answer) {
  cygnet_engine_config config{};
  config.size = sizeof(config);
  config.queues = request->in.Take<uint32_t>();
  config.queue_depth = request->in.Take<uint32_t>();
  config.threads = request->in.Take<uint32_t>();
  config.session_limit = request->in.Take<uint32_t>();
  config.fips = request->in.Take<uint32_t>();
  config.option_count = request->in.Take<uint32_t>();
  cygnet_option options[kMaxOptions];
  if (config.option_count > kMaxOptions) return -E2BIG;
  for (uint32_t i = 0; i < config.option_count; ++i) {
    options[i].key = request->in.Text();
    options[i].value = request->in.Text();
  }
  config.options = options;
  cygnet_refusal refusal = NewRefusal();
  const int32_t result = calls.open(HostServices(), &config, &engine, &refusal);
  if (result == 0 && engine == nullptr) Breach("open() returned no engine");
  PutRefusal(answer, refusal);
  return result;
}

int32_t Identity(Writer* answer) {
  cygnet_identity identity{};
  identity.size = sizeof(identity);
  const int32_t result = calls.identity(engine, &identity);
  answer->Put(identity.simulated);
  answer->Text(identity.model);
  answer->Text(identity.serial);
  answer->Text(identity.version);
  return result;
}

int32_t Limits(Writer* answer) {
  cygnet_engine_limits limits{};
  limits.size = sizeof(limits);
  const int32_t result = calls.limits(engine, &limits);
  answer->Put(limits);
  return result;
}

int32_t CreateSession(Request* request, Writer* answer) {
  if (!files_shut && !ShutFiles()) Breach("the files could not be shut before the first key");
  files_shut = true;
  const cygnet_session_params params = TakeSessionParams(&request->in);
  cygnet_refusal refusal = NewRefusal();
  void* session = nullptr;
  const int32_t result = calls.session_create(engine, &params, &session, &refusal);
  answer->Put(reinterpret_cast<uint64_t>(session));
  PutRefusal(answer, refusal);
  return result;
}

int32_t CreateQueue(Request* request, Writer* answer) {
  const auto number = request->in.Take<uint32_t>();
  const auto depth = request->in.Take<uint32_t>();
  if (request->fd_count != 2) return -EBADF;
  void* queue = nullptr;
  const int32_t result = calls.queue_create(engine, number, &queue);
  if (result == 0 && queue == nullptr) Breach("queue_create() returned no queue");
  ChildQueue* made = nullptr;
  if (result == 0) made = StartQueue(&calls, queue, request->fds[0], depth, request->fds[1]);
  close(request->fds[0]);
  if (result == 0 && made == nullptr) calls.queue_destroy(engine, queue);
  if (made == nullptr && result != 0) close(request->fds[1]);
  answer->Put(reinterpret_cast<uint64_t>(made));
  return result == 0 && made == nullptr ? -ENOMEM : result;
}

void* TakePointer(Request* request) {
  return reinterpret_cast<void*>(request->in.Take<uint64_t>());
}

int32_t Describe(Writer* answer) {
  answer->Text(table == nullptr ? nullptr : calls.name);
  answer->Text(table == nullptr ? nullptr : calls.version);
  answer->Text(table == nullptr ? nullptr : calls.vendor);
  answer->Text(table == nullptr ? nullptr : calls.help);
  return 0;
}

}  // namespace

void TakeEngine(const cygnet_engine* from, Description* description) {
  table = from;
  if (from == nullptr) return;
  description->abi = from->abi;
  if (from->abi != CYGNET_ABI) return;
  memcpy(&calls, from, from->size < sizeof(calls) ? from->size : sizeof(calls));
  description->functions = Functions();
  if ((description->functions & kHasWait) == 0) calls.wait_fd = nullptr;
  SetRefresh(ShowState);
}

int32_t HandleEngine(Request* request, Writer* answer, bool* last) {
  switch (request->call) {
    case Call::kDescribe:
      return Describe(answer);
    case Call::kOpen:
      return Open(request, answer);
    case Call::kClose:
      calls.close(engine);
      engine = nullptr;
      *last = true;
      return 0;
    case Call::kIdentity:
      return Identity(answer);
    case Call::kLimits:
      return Limits(answer);
    case Call::kSupports: {
      const cygnet_session_params params = TakeSessionParams(&request->in);
      return calls.supports(engine, &params);
    }
    case Call::kSessionCreate:
      return CreateSession(request, answer);
    case Call::kSessionDestroy:
      calls.session_destroy(engine, TakePointer(request));
      return 0;
    case Call::kQueueCreate:
      return CreateQueue(request, answer);
    case Call::kQueueDestroy:
      calls.queue_destroy(engine, EndQueue(static_cast<ChildQueue*>(TakePointer(request))));
      return 0;
    default:
      return -ENOSYS;
  }
}

}  // namespace cygnet::isolation
