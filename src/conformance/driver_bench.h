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

  // A combination that every check can use; REQUIRES: choices() is not empty.
  const std::vector<Choice>& choices() const { return choices_; }
  bool esn() const { return device_->caps().esn; }
  // With a family and a mode that the device has.
  EspSample Sample(SampleOptions options = {}) const { return Sample(choices_[0], options); }
  EspSample Sample(const Choice& choice, SampleOptions options) const;

  // The key is gone when this returns. nullopt: refused, see `refusal`.
  std::optional<OffloadHandle> Install(const SaSpec& spec, Half half, uint64_t highest = 0);
  std::optional<OffloadHandle> Start(const SaSpec& spec, Half half, uint64_t highest = 0);
  DeviceRefusal refusal;

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

  // Waits as the control thread does, until `done` or for two seconds.
  bool Wait(const std::function<bool()>& done);
  // Handles of keys that were erased, `wanted` of them if they come.
  std::vector<OffloadHandle> Erased(std::size_t wanted);
  std::optional<OffloadStats> StatsWhen(const std::function<bool(const OffloadStats&)>& done);

 private:
  DriverBench() : sink_(&caches_, &drops_) {}
  void Poll(uint32_t queue);

  DriverPlugin plugin_;
  PacketPools pools_{2048, 1};
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
