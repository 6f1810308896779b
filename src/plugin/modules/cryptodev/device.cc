#include "plugin/modules/cryptodev/device.h"

#include <rte_cryptodev_scheduler.h>
#include <rte_errno.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace cygnet::cryptodev {
namespace {

constexpr uint32_t kMinDescriptors = 128;
constexpr uint32_t kMaxDescriptors = 4096;
constexpr uint32_t kLongestText = 65000;  // the length of a packet of DPDK has 16 bits
constexpr uint32_t kLongestCopy = 10000;
constexpr uint16_t kUserDataBytes = 0;

std::string UniqueName(const char* what) {
  static uint32_t number = 0;
  return "cygnet_" + std::string(what) + std::to_string(number++);
}

// --- Sessions are wiped when they go back to their pool ---

// DPDK does not wipe them all; a scheduler's members have theirs in the same pool. A pool has no
// hook, but its functions can be replaced.
int PutWiped(rte_mempool* pool, void* const* objects, unsigned count) {
  for (unsigned i = 0; i < count; ++i) explicit_bzero(objects[i], pool->elt_size);
  auto* ring = static_cast<rte_ring*>(pool->pool_data);
  return rte_ring_mp_enqueue_bulk(ring, objects, count, nullptr) == 0 ? -ENOBUFS : 0;
}

int Take(rte_mempool* pool, void** objects, unsigned count) {
  auto* ring = static_cast<rte_ring*>(pool->pool_data);
  return rte_ring_mc_dequeue_bulk(ring, objects, count, nullptr) == 0 ? -ENOBUFS : 0;
}

unsigned Count(const rte_mempool* pool) {
  return rte_ring_count(static_cast<const rte_ring*>(pool->pool_data));
}

void Free(rte_mempool* pool) { rte_ring_free(static_cast<rte_ring*>(pool->pool_data)); }

int WipingOps() {
  static const int index = [] {
    rte_mempool_ops ops{};
    std::strncpy(ops.name, "cygnet_wipe", sizeof(ops.name) - 1);
    ops.alloc = [](rte_mempool*) { return -ENOTSUP; };  // only for pools that have a ring
    ops.free = Free;
    ops.enqueue = PutWiped;
    ops.dequeue = Take;
    ops.get_count = Count;
    return rte_mempool_register_ops(&ops);
  }();
  return index;
}

}  // namespace

std::string Device::Start(const DeviceSettings& settings) {
  settings_ = settings;
  std::vector<DeviceName> all = settings.members;
  all.push_back(settings.device);
  if (settings.fips && std::any_of(all.begin(), all.end(), IsOpensslDevice)) {
    return "crypto_openssl changes the OpenSSL providers of this process, which FIPS mode excludes";
  }
  if (std::string error = StartEnvironment(all, settings.memory_mib); !error.empty()) return error;
  if (std::string error = MakeDevices(); !error.empty()) return error;
  if (std::string error = Configure(); !error.empty()) return error;
  return MakeSessionPool();
}

std::string Device::MakeDevices() {
  for (const DeviceName& member : settings_.members) {
    if (member.is_pci) continue;
    if (std::string error = virtual_.Make(member); !error.empty()) return error;
  }
  in_software_ = !settings_.device.is_pci;
  if (in_software_) {
    if (std::string error = virtual_.Make(settings_.device); !error.empty()) return error;
  }
  const int found = FindCryptoDevice(settings_.device);
  if (found < 0) return "DPDK has no crypto device " + settings_.device.name;
  id_ = static_cast<uint8_t>(found);
  return {};
}

std::string Device::Configure() {
  rte_cryptodev_info info{};
  rte_cryptodev_info_get(id_, &info);
  Describe(info);
  queue_pairs_ = std::min(settings_.queues, info.max_nb_queue_pairs);
  depth_ = std::min(settings_.depth, kMaxDescriptors);
  copies_ = settings_.copy || !in_software_;
  const int socket = SOCKET_ID_ANY;
  rte_cryptodev_config config{};
  config.socket_id = socket;
  config.nb_queue_pairs = static_cast<uint16_t>(queue_pairs_);
  config.ff_disable = RTE_CRYPTODEV_FF_ASYMMETRIC_CRYPTO;
  const auto failed = [this](const char* what, int error) {
    return "device " + name() + ": " + what + ": " + rte_strerror(-error);
  };
  if (const int error = rte_cryptodev_configure(id_, &config); error != 0) {
    return failed("DPDK cannot configure it", error);
  }
  configured_ = true;
  const rte_cryptodev_qp_conf queue = {
      .nb_descriptors = std::bit_ceil(std::max(depth_, kMinDescriptors)), .mp_session = nullptr};
  for (uint16_t pair = 0; pair < queue_pairs_; ++pair) {
    if (const int error = rte_cryptodev_queue_pair_setup(id_, pair, &queue, socket); error != 0) {
      return failed("DPDK cannot set up a queue pair", error);
    }
    free_pairs_.push_back(static_cast<uint16_t>(queue_pairs_ - 1 - pair));
  }
  const int error = rte_cryptodev_start(id_);
  return error == 0 ? std::string() : failed("it does not start", error);
}

// A scheduler's members do the work, so the identity names them.
void Device::Describe(const rte_cryptodev_info& info) {
  model_ = info.driver_name;
  if (model_ != "crypto_scheduler") return;
  uint8_t members[RTE_CRYPTODEV_SCHEDULER_MAX_NB_WORKERS];
  const int count = rte_cryptodev_scheduler_workers_get(id_, members);
  for (int i = 0; i < count; ++i) {
    rte_cryptodev_info member{};
    rte_cryptodev_info_get(members[i], &member);
    model_ += (i == 0 ? " of " : ", ") + std::string(member.driver_name);
  }
}

std::string Device::MakeSessionPool() {
  uint32_t bytes = rte_cryptodev_sym_get_private_session_size(id_);
  uint32_t copies = 1;  // of each session: a scheduler's members have one each
  uint8_t members[RTE_CRYPTODEV_SCHEDULER_MAX_NB_WORKERS];
  if (model_.starts_with("crypto_scheduler")) {
    const int count = rte_cryptodev_scheduler_workers_get(id_, members);
    for (int i = 0; i < count; ++i) {
      bytes = std::max(bytes, rte_cryptodev_sym_get_private_session_size(members[i]));
      ++copies;
    }
  }
  rte_cryptodev_info info{};
  rte_cryptodev_info_get(id_, &info);
  sessions_ = settings_.sessions != 0 ? settings_.sessions : kDefaultSessions;
  constexpr uint32_t kAadLengths = 2;
  if (info.sym.max_nb_sessions != 0) {
    sessions_ = std::min(sessions_, info.sym.max_nb_sessions / kAadLengths);
  }
  pool_ = rte_cryptodev_sym_session_pool_create(UniqueName("sessions").c_str(),
                                                sessions_ * kAadLengths * copies, bytes, 0,
                                                kUserDataBytes, SOCKET_ID_ANY);
  if (pool_ == nullptr) {
    return "device " + name() + ": no memory for " + std::to_string(sessions_) +
           " sessions (set the option memory_mib, or a session_limit)";
  }
  const int wiping = WipingOps();
  if (wiping < 0) return "device " + name() + ": DPDK has no room for a kind of pool";
  pool_->ops_index = wiping;
  return {};
}

Device::~Device() {
  if (configured_) {
    rte_cryptodev_stop(id_);
    rte_cryptodev_close(id_);
  }
  rte_mempool_free(pool_);
}

uint32_t Device::text_bytes() const { return copies_ ? kLongestCopy : kLongestText; }

std::optional<uint16_t> Device::TakeQueuePair() {
  if (free_pairs_.empty()) return std::nullopt;
  const uint16_t pair = free_pairs_.back();
  free_pairs_.pop_back();
  return pair;
}

void* Device::MakeSession(const Suite& suite, const cygnet_session_params& params,
                          uint16_t aad_bytes) {
  Transforms transforms(suite, params, aad_bytes, kRoomOffset + offsetof(OpRoom, iv));
  if (transforms.first() == nullptr) return nullptr;
  return rte_cryptodev_sym_session_create(id_, transforms.first(), pool_);
}

std::unique_ptr<Session> Session::Make(Device* device, const Suite& suite,
                                       const cygnet_session_params& params) {
  std::unique_ptr<Session> session(new Session(device, suite));
  session->plain_ = device->MakeSession(suite, params, kEspAadBytes);
  if (session->plain_ == nullptr) return nullptr;
  if (!suite.aead) return session;
  session->esn_ = device->MakeSession(suite, params, kEsnAadBytes);
  return session->esn_ != nullptr ? std::move(session) : nullptr;
}

Session::~Session() {
  if (plain_ != nullptr) device_.FreeSession(plain_);
  if (esn_ != nullptr) device_.FreeSession(esn_);
}

}  // namespace cygnet::cryptodev
