// InsideLan: an inside interface of a TestHost, as a port in memory, and what control knows of the
// hosts behind it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/test_host.h"

namespace cygnet::test {

// Must outlive the host's last Run.
class InsideLan {
 public:
  static constexpr MacAddress kHostMac{2, 0, 0, 0, 0, 0x77};

  InsideLan(TestHost* host, PacketPools* pools, const std::string& name)
      : host_(*host), pools_(*pools), port_(name), interface_(Add(0)) {}

  // A VLAN of the same port. Returns its number.
  uint8_t AddVlan(uint16_t vlan) { return Add(vlan)->number; }
  const InsideInterface& interface() const { return *interface_; }
  uint8_t number() const { return interface_->number; }

  // Packets of this host are accepted, and all are for the device; with `steps`, what these say.
  void Accept(const std::string& address, uint8_t number, std::vector<InsideStep> steps = {}) {
    classes_.push_back(std::make_unique<InsideClass>());
    if (!steps.empty()) classes_.back()->routes = new InsideRoutes(std::move(steps));
    auto source = std::make_unique<InsideSource>();
    source->key = {SourceScope(number), Addr(address)};
    source->of_class = classes_.back().get();
    host_.path.inside.Put(std::move(source));
  }
  // Packets for this host leave by the interface of this number.
  void Reach(const std::string& address, uint8_t number, uint32_t mtu = 65'535) {
    auto entry = std::make_unique<InsideHost>();
    entry->key = {0, Addr(address)};
    entry->inside = number;
    entry->next_hop = kHostMac;
    entry->mtu = mtu;
    host_.path.inside.Put(std::move(entry));
  }

  void FromLan(const Bytes& frame) { port_.arriving.push_back(MakePacket(&pools_, frame)); }
  // Frames of each VLAN in order. How VLANs mix depends on how long batches are.
  std::vector<Bytes> ToLan() {
    std::vector<Bytes> out;
    for (; !port_.sent.empty(); port_.sent.pop_front()) {
      out.push_back(ToBytes(port_.sent.front()->bytes()));
      FreePacket(port_.sent.front());
    }
    const auto vlan = [](const Bytes& frame) {
      return Get16(frame, 12) == 0x8100 ? Get16(frame, 14) : uint16_t{0};
    };
    std::stable_sort(out.begin(), out.end(),
                     [&](const Bytes& a, const Bytes& b) { return vlan(a) < vlan(b); });
    return out;
  }

 private:
  InsideInterface* Add(uint16_t vlan) {
    return host_.path.inside.Add(std::string(port_.name()), 0, &port_, vlan);
  }

  TestHost& host_;
  PacketPools& pools_;
  MemoryPort port_;
  InsideInterface* const interface_;
  std::vector<std::unique_ptr<InsideClass>> classes_;
};

}  // namespace cygnet::test
