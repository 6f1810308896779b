// Driver "discard": a wire that receives nothing and discards what is sent.
#include <utility>

#include "device/driver.h"
#include "device/port_counters.h"

namespace cygnet {
namespace {

// The driver's own keys of a [[device]] table.
struct DiscardOptions {
  uint32_t mtu = 1500;
};

const std::vector<Field<DiscardOptions>>& DiscardFields() {
  static const std::vector<Field<DiscardOptions>> kFields = {
      {"discard_mtu", &DiscardOptions::mtu, Number(1280, 2048), "MTU of the wire"},
  };
  return kFields;
}

Result<DeviceOptions> Check(const Options& options) {
  const auto read = ReadOptions(options, DiscardFields());
  if (!read) return read.error();
  return DeviceOptions{.options = ShowOptions(options, DiscardFields(), *read),
                       .owns_interface = false};
}

class DiscardPort final : public Port {
 public:
  DiscardPort(std::string name, uint32_t queues, uint32_t mtu)
      : name_(std::move(name)), queues_(queues), mtu_(mtu) {}

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return {0x02, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return mtu_; }
  uint32_t queues() const override { return queues_; }
  PortStats stats() const override {
    PortStats total;
    counters_.AddTo(&total);
    return total;
  }

  uint32_t Receive(uint32_t, PacketBatch*, DropSink*) override { return 0; }
  void Transmit(uint32_t, PacketBatch* batch, DropSink* sink) override {
    for (Packet* packet : batch->packets()) {
      counters_.Sent(1, packet->length);
      sink->Recycle(packet);
    }
    batch->ReleaseAll();
  }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return true; }
  void FinishWait(uint32_t) override {}

 private:
  const std::string name_;
  const uint32_t queues_;
  const uint32_t mtu_;
  PortCounters counters_;
};

Result<std::unique_ptr<Port>> Open(const DriverParams& params) {
  const auto options = ReadOptions(params.options, DiscardFields());
  if (!options) return options.error();
  return std::unique_ptr<Port>(new DiscardPort(params.name, params.queues, options->mtu));
}

}  // namespace

extern const DriverInfo kDiscardDriver = {
    .name = "discard",
    .help = "discards what is sent",
    .keys = [] { return InfoOf(DiscardFields()); },
    .check = Check,
    .open = Open,
};

}  // namespace cygnet
