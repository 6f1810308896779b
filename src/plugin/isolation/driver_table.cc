// Tables of isolated drivers; see engine_table.cc.
#include <array>
#include <cstring>
#include <utility>

#include "plugin/isolation/isolated_driver.h"
#include "plugin/isolation/isolation.h"
#include "plugin/isolation/library_shelf.h"

namespace cygnet {
namespace isolation {
namespace {

struct Library : ShelvedLibrary {
  cygnet_driver table{};
  cygnet_packet_mode packet{};
  cygnet_loopback loopback{};
  cygnet_faults faults{};
  cygnet_records records{};
  cygnet_findings findings{};
};

LibraryShelf<Library> libraries;
constexpr std::size_t kMaxLibraries = LibraryShelf<Library>::kPlaces;

template <std::size_t kPlace>
int32_t OpenPlace(const cygnet_driver_open* params, void** device, cygnet_refusal* refusal) {
  const Library& library = libraries[kPlace];
  return IsolatedDriver::Open(library.path, library.settings, library.description, *params, device,
                              refusal);
}

using OpenFunction = decltype(cygnet_driver::open);
template <std::size_t... kPlaces>
constexpr std::array<OpenFunction, kMaxLibraries> OpenFunctions(std::index_sequence<kPlaces...>) {
  return {OpenPlace<kPlaces>...};
}
constexpr auto kOpenFunctions = OpenFunctions(std::make_index_sequence<kMaxLibraries>());

IsolatedDriver& Of(void* device) { return *static_cast<IsolatedDriver*>(device); }

template <Call kCall>
void OfHandle(void* device, uint32_t handle) {
  Of(device).OfHandle(kCall, handle);
}

void AddControl(cygnet_driver* t) {
  t->close = [](void* device) {
    Of(device).Close();
    delete &Of(device);
  };
  t->caps = [](void* device) { return Of(device).Caps(); };
  t->identity = [](void* device, cygnet_identity* identity) { Of(device).Identity(identity); };
  t->status = [](void* device, cygnet_status* status) { Of(device).Status(status); };
  t->stats = [](void* device, cygnet_driver_stats* stats) { Of(device).Stats(stats); };
  t->port = [](void* device, cygnet_port* port) { Of(device).PortFacts(port); };
  t->install_sa = [](void* device, const cygnet_sa* sa, uint32_t* handle, cygnet_refusal* refusal) {
    return Of(device).InstallSa(*sa, handle, refusal);
  };
  t->start_sa = OfHandle<Call::kStartSa>;
  t->stop_sa = OfHandle<Call::kStopSa>;
  t->release_sa = [](void* device, uint32_t handle) { Of(device).ReleaseSa(handle); };
  t->take_erased = [](void* device, uint32_t* handles, uint32_t room) {
    return Of(device).TakeErased(handles, room);
  };
  t->own_refusal = [](void* device, const cygnet_sa* sa, cygnet_refusal* refusal) {
    return Of(device).OwnRefusal(*sa, refusal);
  };
  t->advance_esn = [](void* device, uint32_t handle, uint64_t highest) {
    Of(device).AdvanceEsn(handle, highest);
  };
}

// filter_eligible would wait for the child once a run; the child asks the plug-in itself, and hands
// back what it cannot seal.
void AddPackets(cygnet_driver* t) {
  t->tx_burst = [](void* device, uint32_t queue, cygnet_packet* const* packets, uint32_t n) {
    return Of(device).port(queue).TxBurst(queue, packets, n);
  };
  t->rx_burst = [](void* device, uint32_t queue, cygnet_packet** packets, uint32_t room) {
    return Of(device).port(queue).RxBurst(queue, packets, room);
  };
  t->wait_fd = [](void* device, uint32_t queue) { return Of(device).wait_fd(queue); };
  t->prepare_wait = [](void* device, uint32_t queue) { return Of(device).PrepareWait(queue); };
  t->finish_wait = [](void* device, uint32_t queue) { Of(device).port(queue).FinishWait(queue); };
}

void AddPacketMode(cygnet_packet_mode* p) {
  p->size = sizeof(*p);
  p->add_policy = [](void* device, const cygnet_policy* policy, uint32_t* handle,
                     cygnet_refusal* refusal) {
    return Of(device).AddPolicy(*policy, handle, refusal);
  };
  p->remove_policy = [](void* device, uint32_t handle) { Of(device).RemovePolicy(handle); };
  p->grant = [](void* device, uint32_t handle, const cygnet_numbers* block) {
    Of(device).Grant(handle, *block);
  };
  p->set_limits = [](void* device, uint32_t handle, const cygnet_limits* limits) {
    Of(device).SetLimits(handle, *limits);
  };
  p->read = [](void* device, uint32_t handle, cygnet_reading* reading) {
    return Of(device).Read(handle, reading);
  };
  p->take_state = [](void* device, uint32_t handle, cygnet_reading* reading, uint32_t* bitmap,
                     uint32_t* words) {
    return Of(device).TakeState(handle, reading, bitmap, words);
  };
  p->take_events = [](void* device, cygnet_event* events, uint32_t room) {
    return Of(device).Take(Call::kTakeEvents, events, room);
  };
  p->set_mirror = [](void* device, uint32_t n) { return Of(device).SetMirror(n); };
}

void AddParts(Library* l) {
  AddPacketMode(&l->packet);
  l->loopback.size = sizeof(l->loopback);
  l->loopback.loop = [](void* device, const cygnet_sa* sa, cygnet_packet* const* packets,
                        uint32_t n,
                        const char** reasons) { return Of(device).Loop(*sa, packets, n, reasons); };
  l->faults.size = sizeof(l->faults);
  l->faults.inject = [](void* device, const char* fault, cygnet_refusal* refusal) {
    return Of(device).Inject(fault, refusal);
  };
  l->records.size = sizeof(l->records);
  l->records.held = [](void* device, cygnet_sa_id* ids, uint32_t room) {
    return Of(device).List(Call::kHeld, ids, room);
  };
  l->records.key_log = [](void* device, cygnet_key_log_entry* entries, uint32_t room) {
    return Of(device).List(Call::kKeyLog, entries, room);
  };
  l->records.view = [](void* device, char* text, uint32_t room) {
    return Of(device).View(text, room);
  };
  l->findings.size = sizeof(l->findings);
  l->findings.take = [](void* device, cygnet_finding* findings, uint32_t room) {
    return Of(device).Take(Call::kTakeFindings, findings, room);
  };
  l->table.packet = &l->packet;
  l->table.loopback = &l->loopback;
  l->table.faults = &l->faults;
  l->table.records = &l->records;
  l->table.findings = &l->findings;
}

// What the plug-in lacks is missing here, too: the reader of the table names what it needs.
void TakeAway(uint32_t functions, Library* l) {
  auto* members = reinterpret_cast<uint8_t*>(&l->table) + offsetof(cygnet_driver, open);
  for (uint32_t i = 0; i < kDriverMembers; ++i) {
    if ((functions >> i & 1) == 0) std::memset(members + i * sizeof(void*), 0, sizeof(void*));
  }
  if ((functions & kHasSetMirror) == 0) l->packet.set_mirror = nullptr;
  if ((functions & kHasView) == 0) l->records.view = nullptr;
}

void MakeTable(Library* library, std::size_t place) {
  cygnet_driver& t = library->table;
  t.abi = library->description.abi;
  t.size = sizeof(t);
  t.wire = library->description.wire;
  t.name = library->texts[0].c_str();
  t.version = library->texts[1].c_str();
  t.vendor = library->texts[2].c_str();
  t.open = kOpenFunctions[place];
  AddControl(&t);
  AddPackets(&t);
  AddParts(library);
  TakeAway(library->description.functions, library);
}

}  // namespace
}  // namespace isolation

std::string WhyIsolatedDriverEnded(void* device) { return isolation::Of(device).failure(); }

void FailIsolatedDriver(void* device, const std::string& why) { isolation::Of(device).Fail(why); }

void RestartIsolatedDriver(void* device) { isolation::Of(device).Restart(); }

Result<const cygnet_driver*> LoadIsolatedDriver(const std::string& path,
                                                const IsolationSettings& settings) {
  using namespace isolation;
  const auto library = libraries.Load(kDriverKind, path, settings, MakeTable);
  if (!library) return library.error();
  return &(*library)->table;
}

}  // namespace cygnet
