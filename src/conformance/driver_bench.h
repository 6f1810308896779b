// DriverBench: a driver by others between a check and a wire in memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conformance/check.h"
#include "conformance/esp_sample.h"
#include "conformance/memory_wire.h"
#include "plugin/plugin_device.h"

namespace cygnet::conformance {

class DriverBench {
 public:
  static ::cygnet::Result<std::unique_ptr<DriverBench>> Open(const Subject& subject,
                                                             uint32_t queues = 1);

  PluginDevice& device() { return *device_; }
  const DriverPlugin& plugin() const { return plugin_; }
  // nullptr: the driver sends by itself.
  MemoryWire* wire() { return wire_; }
  Doorbell* bell() { return &bell_; }
  PacketPools* pools() { return &pools_; }

  const std::vector<Choice>& choices() const { return choices_; }
  // Whether it claims crypto offload of a direction.
  bool seals() const { return claims() && device_->caps().outbound; }
  bool opens() const { return claims() && device_->caps().inbound; }
  bool esn() const { return device_->caps().esn; }
  // With a family and a mode that the device has, and the first algorithm that it claims; of a
  // device that claims none, AES-GCM.
  EspSample Sample(SampleOptions options = {}) const;
  EspSample Sample(const Choice& choice, SampleOptions options) const;

  // The key is gone when this returns. nullopt: refused, see `refusal`.
  std::optional<OffloadHandle> Install(const SaSpec& spec, Half half, uint64_t highest = 0);
  std::optional<OffloadHandle> Install(const OffloadSa& sa);
  std::optional<OffloadHandle> Start(const SaSpec& spec, Half half, uint64_t highest = 0);
  // An SA of each direction that it claims: frames in clear pass by a table that is not empty.
  void StartClaimed();
  DeviceRefusal refusal;
  // What the driver did that the adapter does not look at; empty: nothing.
  static std::string Witnessed();

  // A packet to send.
  struct Out {
    Bytes frame;
    OffloadMeta meta = {};
  };
  static Out ToSeal(const EspSample& sample, OffloadHandle handle, uint64_t seq, std::size_t bytes);
  // As a worker: bursts of up to 64.
  void Transmit(const std::vector<Out>& packets, uint32_t queue = 0);
  // What left by the wire, after `wanted` frames or when nothing more comes.
  std::vector<Bytes> Sent(std::size_t wanted);
  std::vector<Bytes> Send(const std::vector<Out>& packets, std::size_t wanted);

  // What comes up.
  struct Up {
    Bytes frame;
    OffloadMeta meta;
    uint32_t sa_number;
  };
  std::vector<Up> Arrive(const std::vector<Bytes>& frames);
  std::vector<Up> Received(std::size_t wanted);
  // One turn of a worker that receives.
  void Poll(uint32_t queue);

  // Waits as the control thread does, until `done` or for two seconds.
  bool Wait(const std::function<bool()>& done);
  // Whether the driver rings because of `cause`.
  bool HearsBell(const std::function<void()>& cause);
  // Handles of keys that were erased, `wanted` of them if they come.
  std::vector<OffloadHandle> Erased(std::size_t wanted);
  std::optional<OffloadStats> StatsWhen(const std::function<bool(const OffloadStats&)>& done);

 private:
  DriverBench() : sink_(&caches_, &drops_) {}
  bool claims() const { return device_->caps().crypto_offload && !choices_.empty(); }

  DriverPlugin plugin_;
  PacketPools pools_{2048, 1, 1024};
  PacketCaches caches_{&pools_};
  DropCounters drops_;
  DropSink sink_;
  Doorbell bell_;
  MemoryWire* wire_ = nullptr;
  std::vector<Choice> choices_;
  std::vector<Bytes> sent_;
  std::vector<Up> up_;
  std::unique_ptr<PluginDevice> device_;
};

}  // namespace cygnet::conformance
