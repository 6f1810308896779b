// Crypto devices of DPDK as an engine: libcygnet_cryptodev.so. Its options:
//   crypto=NAME       the device: a PCI address, or a device in software with its arguments, as
//                     DPDK's --vdev has them ("crypto_openssl0")
//   member=NAME       a device that is made before, for a scheduler to name; may be repeated
//   memory_mib=N      memory of DPDK
//   copy=yes          packets are copied to DPDK's memory; always so for cards
#include <rte_version.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "cygnet/engine.h"
#include "plugin/modules/cryptodev/queue.h"

namespace cygnet::cryptodev {
namespace {

int32_t Refuse(cygnet_refusal* refusal, int error, const std::string& text) {
  std::snprintf(refusal->text, sizeof(refusal->text), "%s", text.c_str());
  return -error;
}

// The error; empty: understood.
std::string Read(const cygnet_option& option, DeviceSettings* settings) {
  const std::string_view key = option.key;
  if (key == "crypto") {
    settings->device = ParseDeviceName(option.value);
  } else if (key == "member") {
    settings->members.push_back(ParseDeviceName(option.value));
  } else if (key == "memory_mib") {
    char* end = nullptr;
    const unsigned long value = std::strtoul(option.value, &end, 10);
    if (*option.value == 0 || *end != 0 || value < 64 || value > 65536) {
      return "memory_mib must be a number from 64 to 65536";
    }
    settings->memory_mib = static_cast<uint32_t>(value);
  } else if (key == "copy") {
    settings->copy = std::string_view(option.value) == "yes";
  } else {
    return "unknown option " + std::string(key) + " (there are crypto, member, memory_mib, copy)";
  }
  return {};
}

int32_t Open(const cygnet_host*, const cygnet_engine_config* config, void** engine,
             cygnet_refusal* refusal) {
  DeviceSettings settings;
  settings.queues = config->queues;
  settings.depth = config->queue_depth;
  settings.sessions = config->session_limit;
  settings.fips = config->fips == 1;
  for (const cygnet_option& option : std::span(config->options, config->option_count)) {
    const std::string error = Read(option, &settings);
    if (!error.empty()) return Refuse(refusal, EINVAL, error);
  }
  if (settings.device.name.empty()) {
    return Refuse(refusal, EINVAL,
                  "name the device: the option crypto=, with a PCI address or a device in "
                  "software such as crypto_openssl0");
  }
  auto device = std::make_unique<Device>();
  const std::string error = device->Start(settings);
  if (!error.empty()) return Refuse(refusal, ENODEV, error);
  *engine = device.release();
  return 0;
}

void Close(void* engine) { delete static_cast<Device*>(engine); }

// DPDK does not tell a card's firmware.
int32_t Identity(void* engine, cygnet_identity* identity) {
  const auto* device = static_cast<const Device*>(engine);
  static const std::string version = rte_version();
  identity->simulated = device->in_software() ? 1 : 0;
  identity->model = device->model().c_str();
  identity->serial = device->name().c_str();
  identity->version = version.c_str();
  return 0;
}

int32_t Limits(void* engine, cygnet_engine_limits* limits) {
  const auto* device = static_cast<const Device*>(engine);
  limits->sessions = device->sessions();
  limits->queues = device->queues();
  limits->queue_depth = device->depth();
  limits->text_bytes = device->text_bytes();
  return 0;
}

int32_t Supports(void* engine, const cygnet_session_params* params) {
  const auto suite = SuiteOf(*params);
  if (!suite.has_value()) return -EOPNOTSUPP;
  const bool does = DeviceDoes(static_cast<Device*>(engine)->id(), *suite, *params);
  return does ? 0 : -EOPNOTSUPP;
}

int32_t SessionCreate(void* engine, const cygnet_session_params* params, void** session,
                      cygnet_refusal* refusal) {
  auto* device = static_cast<Device*>(engine);
  const auto suite = SuiteOf(*params);
  if (!suite.has_value() || !DeviceDoes(device->id(), *suite, *params)) {
    return Refuse(refusal, EOPNOTSUPP,
                  "device " + device->name() + " does not have these algorithms and lengths");
  }
  auto made = Session::Make(device, *suite, *params);
  if (made == nullptr) {
    return Refuse(refusal, ENOSPC, "device " + device->name() + " has no room for a session");
  }
  *session = made.release();
  return 0;
}

void SessionDestroy(void*, void* session) { delete static_cast<Session*>(session); }

int32_t QueueCreate(void* engine, uint32_t, void** queue) {
  auto made = Queue::Make(static_cast<Device*>(engine));
  if (made == nullptr) return -ENOSPC;
  *queue = made.release();
  return 0;
}

void QueueDestroy(void*, void* queue) { delete static_cast<Queue*>(queue); }

uint32_t Submit(void* queue, cygnet_crypto_job* const* jobs, uint32_t count) {
  return static_cast<Queue*>(queue)->Submit(jobs, count);
}

uint32_t Poll(void* queue, cygnet_completion* done, uint32_t room) {
  return static_cast<Queue*>(queue)->Poll(done, room);
}

constexpr cygnet_engine kTable = {
    .abi = CYGNET_ABI,
    .size = sizeof(cygnet_engine),
    .name = "cryptodev",
    .version = CYGNET_VERSION,
    .vendor = "Cygnet",
    .help = "crypto devices of DPDK: cards, and devices in software",
    .open = Open,
    .close = Close,
    .identity = Identity,
    .limits = Limits,
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
}  // namespace cygnet::cryptodev

extern "C" const cygnet_engine* cygnet_engine_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &cygnet::cryptodev::kTable : nullptr;
}
