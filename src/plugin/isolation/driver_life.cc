#include "plugin/isolation/driver_life.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugin/isolation/driver_message.h"
#include "plugin/isolation/refusal.h"

namespace cygnet::isolation {
namespace {

std::string TextOf(const char* text) { return text == nullptr ? std::string() : text; }

}  // namespace

// --- Facts ---

void DriverFacts::Take(Reader* in) {
  caps = in->Take<cygnet_caps>();
  const char* driver = in->Text();
  kernel_driver = TextOf(driver);
  // What a hostile child writes into pointers and counts is not used.
  if (caps.algorithm_count > kMaxAlgorithms) (void)in->Bytes(UINT32_MAX);
  for (uint32_t i = 0; in->ok() && i < caps.algorithm_count; ++i) {
    names.push_back(TextOf(in->Text()));
    cygnet_algorithm_caps row{};
    const uint8_t* keys = in->Bytes(sizeof(row.key_bytes));
    const uint8_t* icvs = in->Bytes(sizeof(row.icv_bytes));
    if (keys == nullptr || icvs == nullptr) break;
    std::memcpy(row.key_bytes, keys, sizeof(row.key_bytes));
    std::memcpy(row.icv_bytes, icvs, sizeof(row.icv_bytes));
    algorithms.push_back(row);
  }
  for (std::size_t i = 0; i < algorithms.size(); ++i) algorithms[i].name = names[i].c_str();
  caps.size = sizeof(caps);
  caps.algorithm_count = static_cast<uint32_t>(algorithms.size());
  caps.algorithms = algorithms.data();
  caps.kernel_driver = driver == nullptr ? nullptr : kernel_driver.c_str();
  simulated = in->Take<uint32_t>();
  model = TextOf(in->Text());
  serial = TextOf(in->Text());
  version = TextOf(in->Text());
  port = in->Take<cygnet_port>();
}

bool DriverFacts::SameAs(const DriverFacts& other) const {
  cygnet_caps a = caps, b = other.caps;
  a.algorithms = b.algorithms = nullptr;
  a.kernel_driver = b.kernel_driver = nullptr;
  const auto same = [](const cygnet_algorithm_caps& x, const cygnet_algorithm_caps& y) {
    return std::equal(std::begin(x.key_bytes), std::end(x.key_bytes), std::begin(y.key_bytes)) &&
           std::equal(std::begin(x.icv_bytes), std::end(x.icv_bytes), std::begin(y.icv_bytes));
  };
  return std::memcmp(&a, &b, sizeof(a)) == 0 && kernel_driver == other.kernel_driver &&
         names == other.names &&
         std::equal(algorithms.begin(), algorithms.end(), other.algorithms.begin(),
                    other.algorithms.end(), same) &&
         simulated == other.simulated && model == other.model && serial == other.serial &&
         version == other.version &&
         std::equal(std::begin(port.mac), std::end(port.mac), std::begin(other.port.mac));
}

// --- Life ---

int32_t DriverLife::Begin(const DriverOrder& order, std::unique_ptr<DriverLife>* life,
                          cygnet_refusal* refusal) {
  auto child = ChildProcess::Start(kDriverKind, order.path, order.settings);
  if (!child) return Refuse(refusal, -ENODEV, child.error().message);
  const Description& now = (*child)->description();
  if (now.abi != order.described.abi || now.functions != order.described.functions ||
      now.wire != order.described.wire) {
    return Refuse(refusal, -ENODEV, "the file has changed since it was loaded: start again");
  }
  std::unique_ptr<DriverLife> begun(new DriverLife(*std::move(child), order.services->queues));
  begun->child_->SetHost(order.host);
  order.host->log(order.host->context, CYGNET_LOG_INFO, begun->child_->Protection().c_str());
  const int32_t result = begun->Open(order, refusal);
  if (result == 0) *life = std::move(begun);
  return result;
}

int32_t DriverLife::Open(const DriverOrder& order, cygnet_refusal* refusal) {
  const uint32_t kind = child_->description().wire;
  DriverShape shape{.queues = queues_,
                    .wires = kind == CYGNET_WIRE_NONE  ? 0u
                             : kind == CYGNET_WIRE_ONE ? 1u
                                                       : queues_};
  shape.slots = kSlotsForQueue * queues_ + kSlotsForWire * shape.wires + kSlotsForStock;
  auto port = IsolatedPort::Make(child_.get(), order.services, shape);
  if (!port) return Refuse(refusal, -ENOMEM, port.error().message);
  port_ = *std::move(port);
  const auto put = [&](Writer* out) {
    out->Put(shape);
    out->Text(order.name.c_str());
    out->Text(order.wire.c_str());
    out->Put(static_cast<uint32_t>(order.options.size()));
    for (const auto& [key, value] : order.options) {
      out->Text(key.c_str());
      out->Text(value.c_str());
    }
  };
  const auto take = [&](Reader* in) {
    TakeRefusal(in, refusal);
    if (in->ok() && !in->done()) facts_->Take(in);
  };
  const int32_t result = child_->Do(Call::kOpen, put, take, port_->ChildFds());
  port_->CloseChildEnds();
  if (child_->failed()) return Refuse(refusal, -ENODEV, child_->failure());
  if (result == 0) port_->StartWatch();
  return result > 0 ? -EPROTO : result;
}

// The port uses the child, and its packets go back by services that end with the host.
DriverLife::~DriverLife() {
  port_.reset();
  child_->SetHost(nullptr);
}

}  // namespace cygnet::isolation
