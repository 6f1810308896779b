#include "plugin/isolation/child/driver.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cerrno>

#include "plugin/isolation/child/driver_extras.h"
#include "plugin/isolation/child/driver_port.h"
#include "plugin/isolation/child/sandbox.h"
#include "plugin/isolation/driver_message.h"

namespace cygnet::isolation {

DriverCalls driver{};
void* device = nullptr;

namespace {

constexpr uint32_t kMaxOptions = 256;
bool named = false;  // the plug-in gave a table
bool files_shut = false;

template <typename T>
const T* ReadPart(const T* from, T* to) {
  if (from == nullptr) return nullptr;
  memcpy(to, from, from->size < sizeof(T) ? from->size : sizeof(T));
  return to;
}

uint32_t Functions() {
  uint32_t bits = 0;
  const auto* members = reinterpret_cast<const uint8_t*>(&driver.table);
  for (uint32_t i = 0; i < kDriverMembers; ++i) {
    const void* pointer = nullptr;
    memcpy(&pointer, members + offsetof(cygnet_driver, open) + i * sizeof(void*), sizeof(pointer));
    if (pointer != nullptr) bits |= 1u << i;
  }
  if (driver.packet.set_mirror != nullptr) bits |= kHasSetMirror;
  if (driver.records.view != nullptr) bits |= kHasView;
  return bits;
}

// Optional tables are whole or not there.
const char* IncompletePart() {
  const cygnet_driver& t = driver.table;
  const cygnet_packet_mode& p = driver.packet;
  if (t.packet != nullptr && (p.add_policy == nullptr || p.remove_policy == nullptr ||
                              p.grant == nullptr || p.set_limits == nullptr || p.read == nullptr ||
                              p.take_state == nullptr || p.take_events == nullptr)) {
    return "a function of its table \"packet\" is missing";
  }
  if (t.loopback != nullptr && driver.loopback.loop == nullptr) {
    return "the function of its table \"loopback\" is missing";
  }
  if (t.faults != nullptr && driver.faults.inject == nullptr) {
    return "the function of its table \"faults\" is missing";
  }
  if (t.records != nullptr &&
      (driver.records.held == nullptr || driver.records.key_log == nullptr)) {
    return "a function of its table \"records\" is missing";
  }
  if (t.findings != nullptr && driver.findings.take == nullptr) {
    return "the function of its table \"findings\" is missing";
  }
  return nullptr;
}

void ShowState() {
  if (device == nullptr) return;
  cygnet_status status{};
  status.size = sizeof(status);
  driver.table.status(device, &status);
  Page().state.store(uint64_t{status.resets} << 32 | status.state, std::memory_order_release);
  if (driver.table.port == nullptr) return;
  cygnet_port port{};
  port.size = sizeof(port);
  driver.table.port(device, &port);
  Page().port.store(uint64_t{port.link_up != 0} << 32 | port.mtu, std::memory_order_release);
}

// What does not change while the device is open.
void PutFacts(Writer* answer) {
  const cygnet_caps* caps = driver.table.caps(device);
  if (caps == nullptr || !CYGNET_HAS(cygnet_caps, caps, kernel_driver)) {
    Breach("caps() returned nothing that this version can read");
  }
  cygnet_caps plain = *caps;
  plain.algorithms = nullptr;
  plain.kernel_driver = nullptr;
  answer->Put(plain);
  answer->Text(caps->kernel_driver);
  for (uint32_t i = 0; i < caps->algorithm_count && i < kMaxAlgorithms; ++i) {
    answer->Text(caps->algorithms[i].name);
    answer->Bytes(caps->algorithms[i].key_bytes, sizeof(caps->algorithms[i].key_bytes));
    answer->Bytes(caps->algorithms[i].icv_bytes, sizeof(caps->algorithms[i].icv_bytes));
  }
  cygnet_identity identity{};
  identity.size = sizeof(identity);
  driver.table.identity(device, &identity);
  answer->Put(identity.simulated);
  answer->Text(identity.model);
  answer->Text(identity.serial);
  answer->Text(identity.version);
  cygnet_port port{};
  port.size = sizeof(port);
  if (driver.table.port != nullptr) driver.table.port(device, &port);
  answer->Put(port);
}

int32_t Open(Request* request, Writer* answer) {
  const auto shape = request->in.Take<DriverShape>();
  if (!SetUpPort(shape, request)) return -ENOMEM;
  cygnet_driver_open open{};
  open.size = sizeof(open);
  open.name = request->in.Text();
  open.wire = request->in.Text();
  open.headroom = kNewHeadroom;
  open.services = DriverServices();
  open.option_count = request->in.Take<uint32_t>();
  cygnet_option options[kMaxOptions];
  if (open.option_count > kMaxOptions) return -E2BIG;
  for (uint32_t i = 0; i < open.option_count; ++i) {
    options[i].key = request->in.Text();
    options[i].value = request->in.Text();
  }
  open.options = options;
  cygnet_refusal refusal = NewRefusal();
  const int32_t result = driver.table.open(&open, &device, &refusal);
  if (result == 0 && device == nullptr) Breach("open() returned no device");
  PutRefusal(answer, refusal);
  if (result != 0) return result;
  PutFacts(answer);
  return StartQueues(&driver.table, device) ? 0 : -ENOMEM;
}

int32_t InstallSa(Request* request, Writer* answer) {
  if (!files_shut && !ShutFiles()) Breach("the files could not be shut before the first key");
  files_shut = true;
  const cygnet_sa sa = TakeSa(&request->in);
  cygnet_refusal refusal = NewRefusal();
  uint32_t handle = 0;
  const int32_t result = driver.table.install_sa(device, &sa, &handle, &refusal);
  answer->Put(handle);
  PutRefusal(answer, refusal);
  return result;
}

int32_t OwnRefusal(Request* request, Writer* answer) {
  const cygnet_sa sa = TakeSa(&request->in);
  cygnet_refusal refusal = NewRefusal();
  const int32_t result = driver.table.own_refusal(device, &sa, &refusal);
  PutRefusal(answer, refusal);
  return result;
}

int32_t Stats(Writer* answer) {
  cygnet_driver_stats stats{};
  stats.size = sizeof(stats);
  driver.table.stats(device, &stats);
  answer->Put(stats);
  return 0;
}

int32_t Describe(Writer* answer) {
  answer->Text(named ? driver.table.name : nullptr);
  answer->Text(named ? driver.table.version : nullptr);
  answer->Text(named ? driver.table.vendor : nullptr);
  answer->Text(nullptr);
  return 0;
}

int32_t OfHandle(Request* request, void (*function)(void*, uint32_t)) {
  function(device, request->in.Take<uint32_t>());
  return 0;
}

}  // namespace

const char* TakeDriver(const cygnet_driver* from, Description* description) {
  named = from != nullptr;
  if (!named) return nullptr;
  description->abi = from->abi;
  if (from->abi != CYGNET_ABI) return nullptr;
  cygnet_driver& t = driver.table;
  memcpy(&t, from, from->size < sizeof(t) ? from->size : sizeof(t));
  t.packet = ReadPart(t.packet, &driver.packet);
  t.loopback = ReadPart(t.loopback, &driver.loopback);
  t.faults = ReadPart(t.faults, &driver.faults);
  t.records = ReadPart(t.records, &driver.records);
  t.findings = ReadPart(t.findings, &driver.findings);
  description->wire = t.wire;
  description->functions = Functions();
  SetRefresh(ShowState);
  return IncompletePart();
}

int32_t HandleDriver(Request* request, Writer* answer, bool* last) {
  switch (request->call) {
    case Call::kDescribe:
      return Describe(answer);
    case Call::kOpen:
      return Open(request, answer);
    case Call::kClose:
      EndQueues();
      driver.table.close(device);
      device = nullptr;
      *last = true;
      return 0;
    case Call::kStats:
      return Stats(answer);
    case Call::kInstallSa:
      return InstallSa(request, answer);
    case Call::kStartSa:
      return OfHandle(request, driver.table.start_sa);
    case Call::kStopSa:
      return OfHandle(request, driver.table.stop_sa);
    case Call::kReleaseSa:
      LetPacketsPass();
      return OfHandle(request, driver.table.release_sa);
    case Call::kOwnRefusal:
      return OwnRefusal(request, answer);
    default:
      return HandleDriverExtras(request, answer);
  }
}

}  // namespace cygnet::isolation
