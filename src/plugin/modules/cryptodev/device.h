// A symmetric crypto device of DPDK: its queue pairs and the memory of its sessions.
#pragma once

#include <rte_cryptodev.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugin/modules/cryptodev/environment.h"
#include "plugin/modules/cryptodev/transforms.h"

namespace cygnet::cryptodev {

// What an operation has behind DPDK's part.
struct OpRoom {
  std::array<uint8_t, 16> iv;
  std::array<uint8_t, 32> aad;
  std::array<uint8_t, 64> icv;
  std::array<uint8_t, 4> under_esn;  // bytes of the packet that the word of the ESN replaces
  const cygnet_crypto_job* job;
  rte_mbuf* packet;
};
inline constexpr uint16_t kRoomOffset = sizeof(rte_crypto_op) + sizeof(rte_crypto_sym_op);

struct DeviceSettings {
  std::vector<DeviceName> members;  // made before the device: what a scheduler schedules
  DeviceName device;
  uint32_t queues = 1;
  uint32_t depth = 256;
  uint32_t sessions = 0;  // 0: kDefaultSessions
  uint32_t memory_mib = 256;
  bool fips = false;
  bool copy = false;  // work in memory of DPDK, also for devices in software
};

class Device {
 public:
  static constexpr uint32_t kDefaultSessions = 4096;

  // The error, for operators; empty: started.
  std::string Start(const DeviceSettings& settings);
  ~Device();

  uint8_t id() const { return id_; }
  uint32_t depth() const { return depth_; }
  // Packets are copied to memory that the device can reach. A device in software works in place.
  bool copies() const { return copies_; }
  uint32_t text_bytes() const;
  uint32_t queues() const { return queue_pairs_; }
  uint32_t sessions() const { return sessions_; }
  bool in_software() const { return in_software_; }
  const std::string& model() const { return model_; }
  const std::string& name() const { return settings_.device.name; }

  // Control thread.
  std::optional<uint16_t> TakeQueuePair();
  void GiveQueuePair(uint16_t pair) { free_pairs_.push_back(pair); }
  // nullptr: no room, or the device refuses. Any thread.
  void* MakeSession(const Suite& suite, const cygnet_session_params& params, uint16_t aad_bytes);
  void FreeSession(void* session) { rte_cryptodev_sym_session_free(id_, session); }

 private:
  std::string MakeDevices();
  std::string Configure();
  std::string MakeSessionPool();
  void Describe(const rte_cryptodev_info& info);

  DeviceSettings settings_;
  VirtualDevices virtual_;
  uint8_t id_ = 0;
  uint32_t depth_ = 0;
  uint32_t queue_pairs_ = 0;
  uint32_t sessions_ = 0;
  bool configured_ = false;
  bool copies_ = false;
  bool in_software_ = false;
  std::string model_;
  std::vector<uint16_t> free_pairs_;
  rte_mempool* pool_ = nullptr;  // of sessions
};

// Sessions of DPDK have a fixed AAD length, so there is one for each length that ESP has.
class Session {
 public:
  // nullptr: the device has no room.
  static std::unique_ptr<Session> Make(Device* device, const Suite& suite,
                                       const cygnet_session_params& params);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Suite& suite() const { return suite_; }
  // nullptr: there is none for the length.
  void* For(uint32_t aad_bytes) const {
    if (!suite_.aead || aad_bytes == kEspAadBytes) return plain_;
    return aad_bytes == kEsnAadBytes ? esn_ : nullptr;
  }

 private:
  Session(Device* device, const Suite& suite) : device_(*device), suite_(suite) {}

  Device& device_;
  const Suite suite_;
  void* plain_ = nullptr;  // pairs, too
  void* esn_ = nullptr;
};

}  // namespace cygnet::cryptodev
