#include "plugin/isolation/isolated_driver.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugin/isolation/driver_message.h"
#include "plugin/isolation/refusal.h"

namespace cygnet::isolation {
namespace {

std::string TextOf(const char* text) { return text == nullptr ? std::string() : text; }

// A struct of the host that may be older: no member behind its size is written.
template <typename T>
void Fill(T* to, const T& from) {
  const uint32_t size = to->size;
  std::memcpy(to, &from, std::min<std::size_t>(size, sizeof(T)));
  to->size = size;
}

}  // namespace

int32_t IsolatedDriver::Open(const std::string& path, const IsolationSettings& settings,
                             const Description& described, const cygnet_driver_open& params,
                             void** device, cygnet_refusal* refusal) {
  auto child = ChildProcess::Start(kDriverKind, path, settings);
  if (!child) return Refuse(refusal, -ENODEV, child.error().message);
  const Description& now = (*child)->description();
  if (now.abi != described.abi || now.functions != described.functions ||
      now.wire != described.wire) {
    return Refuse(refusal, -ENODEV, "the file has changed since it was loaded: start again");
  }
  std::unique_ptr<IsolatedDriver> opened(new IsolatedDriver(*std::move(child)));
  const cygnet_host* host = params.services->host;
  opened->child_->SetHost(host);
  host->log(host->context, CYGNET_LOG_INFO, opened->child_->Protection().c_str());
  const int32_t result = opened->OpenChild(params, refusal);
  if (result != 0) return result;
  *device = opened.release();
  return 0;
}

int32_t IsolatedDriver::OpenChild(const cygnet_driver_open& params, cygnet_refusal* refusal) {
  const uint32_t queues = params.services->queues;
  const uint32_t kind = child_->description().wire;
  DriverShape shape{.queues = queues,
                    .wires = kind == CYGNET_WIRE_NONE  ? 0u
                             : kind == CYGNET_WIRE_ONE ? 1u
                                                       : queues};
  shape.slots = kSlotsForQueue * queues + kSlotsForWire * shape.wires + kSlotsForStock;
  auto port = IsolatedPort::Make(child_.get(), params.services, shape);
  if (!port) return Refuse(refusal, -ENOMEM, port.error().message);
  port_ = *std::move(port);
  const auto put = [&](Writer* out) {
    out->Put(shape);
    out->Text(params.name);
    out->Text(params.wire);
    PutOptions(out, params.options, params.option_count);
  };
  const auto take = [&](Reader* in) {
    TakeRefusal(in, refusal);
    if (in->ok() && !in->done()) TakeFacts(in);
  };
  const int32_t result = child_->Do(Call::kOpen, put, take, port_->ChildFds());
  port_->CloseChildEnds();
  if (child_->failed()) return Refuse(refusal, -ENODEV, child_->failure());
  if (result == 0) port_->StartWatch();
  return Result(result);
}

void IsolatedDriver::TakeFacts(Reader* in) {
  caps_ = in->Take<cygnet_caps>();
  const char* kernel_driver = in->Text();
  kernel_driver_ = TextOf(kernel_driver);
  // What a hostile child writes into pointers and counts is not used.
  if (caps_.algorithm_count > kMaxAlgorithms) (void)in->Bytes(UINT32_MAX);
  for (uint32_t i = 0; in->ok() && i < caps_.algorithm_count; ++i) {
    names_.push_back(TextOf(in->Text()));
    cygnet_algorithm_caps row{};
    const uint8_t* keys = in->Bytes(sizeof(row.key_bytes));
    const uint8_t* icvs = in->Bytes(sizeof(row.icv_bytes));
    if (keys == nullptr || icvs == nullptr) return;
    std::memcpy(row.key_bytes, keys, sizeof(row.key_bytes));
    std::memcpy(row.icv_bytes, icvs, sizeof(row.icv_bytes));
    algorithms_.push_back(row);
  }
  for (std::size_t i = 0; i < algorithms_.size(); ++i) algorithms_[i].name = names_[i].c_str();
  caps_.size = sizeof(caps_);
  caps_.algorithms = algorithms_.data();
  caps_.kernel_driver = kernel_driver == nullptr ? nullptr : kernel_driver_.c_str();
  simulated_ = in->Take<uint32_t>();
  model_ = TextOf(in->Text());
  serial_ = TextOf(in->Text());
  version_ = TextOf(in->Text());
  port_facts_ = in->Take<cygnet_port>();
}

// The port uses the child, and its packets go back by services that end with the host.
IsolatedDriver::~IsolatedDriver() {
  port_.reset();
  child_->SetHost(nullptr);
}

void IsolatedDriver::Close() {
  port_->EndWatch();
  (void)child_->Do(Call::kClose, nullptr, nullptr);
}

// --- Facts ---

void IsolatedDriver::Identity(cygnet_identity* identity) const {
  identity->simulated = simulated_;
  identity->model = model_.c_str();
  identity->serial = serial_.c_str();
  identity->version = version_.c_str();
}

void IsolatedDriver::Status(cygnet_status* status) const {
  const uint64_t word = child_->state();
  status->state = child_->failed() ? uint32_t{CYGNET_STATE_FAILED} : static_cast<uint32_t>(word);
  status->resets = static_cast<uint32_t>(word >> 32);
}

void IsolatedDriver::Stats(cygnet_driver_stats* stats) {
  cygnet_driver_stats now{};
  (void)child_->Do(Call::kStats, nullptr,
                   [&](Reader* in) { now = in->Take<cygnet_driver_stats>(); });
  Fill(stats, now);
}

void IsolatedDriver::PortFacts(cygnet_port* port) const {
  cygnet_port now = port_facts_;
  const uint64_t word = child_->port();
  now.mtu = static_cast<uint32_t>(word);
  now.link_up = !child_->failed() && (word >> 32) == 1 ? 1 : 0;
  Fill(port, now);
}

// --- SAs ---

int32_t IsolatedDriver::InstallSa(const cygnet_sa& sa, uint32_t* handle, cygnet_refusal* refusal) {
  uint32_t given = 0;
  const auto take = [&](Reader* in) {
    given = in->Take<uint32_t>();
    TakeRefusal(in, refusal);
  };
  const int32_t result = child_->Do(
      Call::kInstallSa, [&](Writer* out) { PutSa(out, sa); }, take);
  if (result == 0) *handle = given;
  return Result(result);
}

int32_t IsolatedDriver::OwnRefusal(const cygnet_sa& sa, cygnet_refusal* refusal) {
  return Result(child_->Do(
      Call::kOwnRefusal, [&](Writer* out) { PutSa(out, sa); },
      [&](Reader* in) { TakeRefusal(in, refusal); }));
}

void IsolatedDriver::OfHandle(Call call, uint32_t handle) {
  (void)child_->Do(
      call, [&](Writer* out) { out->Put(handle); }, nullptr);
}

void IsolatedDriver::AdvanceEsn(uint32_t handle, uint64_t highest) {
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(highest);
  };
  (void)child_->Do(Call::kAdvanceEsn, put, nullptr);
}

// --- Lists ---

uint32_t IsolatedDriver::ListBytes(Call call, void* entries, uint32_t entry_bytes, uint32_t room) {
  uint32_t copied = 0;
  const auto take = [&](Reader* in) {
    while (in->ok() && !in->done()) {
      // More than there is room for is a malformed answer.
      const uint8_t* entry = in->Bytes(copied == room ? UINT32_MAX : entry_bytes);
      if (entry == nullptr) return;
      std::memcpy(static_cast<uint8_t*>(entries) + std::size_t{copied++} * entry_bytes, entry,
                  entry_bytes);
    }
  };
  const int32_t result = child_->Do(
      call, [&](Writer* out) { out->Put(room); }, take);
  if (result < 0) return 0;
  if (copied == std::min(static_cast<uint32_t>(result), room)) return static_cast<uint32_t>(result);
  child_->Fail("it returned a list that is not as long as it says");
  return 0;
}

}  // namespace cygnet::isolation
