#include "datapath/self_test_case.h"

#include <algorithm>
#include <utility>

#include "base/endian.h"
#include "base/random.h"
#include "datapath/self_test_bench.h"
#include "net/checksum.h"
#include "packet/packet_batch.h"

namespace cygnet {
namespace {

using Kind = SelfTestOutcomeOfCase::Kind;

// What the device must do with a packet.
enum class Due : uint8_t {
  kRight,   // the expected bytes
  kForged,  // the ICV, or what it covers, is wrong: anything but deliver it
  kReplay,  // seen before: refuse it
  kBelow,   // its number is below the block: leave it alone
  kAbove,   // its number is above the block: anything but deliver it
};

struct Item {
  Due due = Due::kRight;
  uint64_t seq = 0;
  uint32_t payload = 0;
  SelfTestFrame frame;     // as sent; then as it came back
  SelfTestFrame expected;  // kRight
  std::vector<uint8_t> sent = {};
  DropReason drop = DropReason::kNone;
};

// Of the packet that a device built, only what the contract settles: addresses, protocol, lengths,
// and all bytes behind the outer IP header.
bool SameProtected(const SelfTestFrame& expected, const SelfTestFrame& got) {
  const auto want = ParseIpPacket(expected.packet.l3());
  const auto have = ParseIpPacket(got.packet.l3());
  if (!want.has_value() || !have.has_value()) return false;
  const auto behind = [](const SelfTestFrame& frame, const IpPacketView& ip) {
    return frame.packet.l3().subspan(ip.header_length);
  };
  const auto header = got.packet.l3().first(have->ip_header_length);
  const bool v4 = have->flow.family == IpFamily::kV4;
  return want->flow.saddr == have->flow.saddr && want->flow.daddr == have->flow.daddr &&
         want->flow.family == have->flow.family && want->flow.proto == have->flow.proto &&
         want->total_length == have->total_length && want->header_length == have->header_length &&
         (!v4 || Checksum(header) == 0) &&
         std::ranges::equal(behind(expected, *want), behind(got, *have));
}

bool Same(const SelfTestFrame& a, const SelfTestFrame& b) {
  return std::ranges::equal(a.packet.l3(), b.packet.l3());
}

class Runner {
 public:
  Runner(const SelfTestCase& test, SelfTestBench* bench, Loopback* loopback)
      : test_(test), bench_(*bench), loopback_(*loopback) {}
  SelfTestOutcomeOfCase Run();

 private:
  bool packet() const { return test_.mode == OffloadMode::kPacket; }
  bool inbound() const { return IsInbound(test_.half); }
  // Packets.
  void MakeOutbound(const std::vector<uint32_t>& sizes);
  void MakeInbound(const std::vector<uint32_t>& sizes);
  void AddRight(uint32_t size, uint64_t seq);
  void AddForged(const Item& right);
  void AddOtherHighWord(uint64_t seq);
  void AddReplays();
  void AddOutsideBlock();
  Item Arriving(Due due, uint32_t size, uint64_t seq);
  // Judgement; nullptr: right.
  const char* Judge(const Item& item) const;
  const char* JudgeRight(const Item& item) const;
  SelfTestFailure FailureOf(const Item& item, const char* what) const;

  const SelfTestCase& test_;
  SelfTestBench& bench_;
  Loopback& loopback_;
  uint64_t first_ = 0;
  NumberBlock block_{};
  std::vector<Item> items_;
};

SelfTestOutcomeOfCase Runner::Run() {
  const std::vector<uint32_t> sizes = bench_.Sizes();
  const auto count = static_cast<uint64_t>(sizes.size());
  constexpr uint64_t kWord = uint64_t{1} << 32;
  first_ = test_.esn ? kWord - count / 2 : 2 + (RandomWord() & 0xffff);
  block_ = {first_, first_ + count};  // the last number is for a packet that must not pass
  if (inbound()) {
    MakeInbound(sizes);
  } else {
    MakeOutbound(sizes);
  }
  std::vector<Packet*> packets;
  for (Item& item : items_) {
    item.sent = item.frame.Bytes();
    packets.push_back(&item.frame.packet);
  }
  std::vector<DropReason> drops(packets.size());
  if (!bench_.sound()) return {.kind = Kind::kNotTaken};
  const OffloadSa sa{.spec = bench_.spec(),
                     .half = test_.half,
                     .highest = first_ - 1,
                     .mode = test_.mode,
                     .numbers = packet() ? block_ : NumberBlock{},
                     .number = static_cast<uint32_t>(RandomWord()),
                     .iv_mask = bench_.iv_mask()};
  if (const Status done = loopback_.Loop(sa, packets, drops); !done) {
    const bool down = done.error().code == Errc::kNetworkDown;
    return {.kind = down ? Kind::kDown : Kind::kNotTaken};
  }
  SelfTestOutcomeOfCase outcome{.packets = static_cast<uint32_t>(items_.size())};
  for (std::size_t i = 0; i < items_.size(); ++i) {
    items_[i].drop = drops[i];
    const char* wrong = Judge(items_[i]);
    const bool named = wrong != nullptr || items_[i].frame.packet.sa_number() == sa.number ||
                       items_[i].frame.packet.offload.status != OffloadStatus::kDecapsulated;
    if (!named) wrong = "it names another SA";
    if (wrong == nullptr) continue;
    outcome.kind = Kind::kFailed;
    outcome.failure = FailureOf(items_[i], wrong);
    break;
  }
  return outcome;
}

// --- Packets ---

void Runner::MakeOutbound(const std::vector<uint32_t>& sizes) {
  uint64_t seq = first_;
  for (const uint32_t size : sizes) {
    SelfTestFrame inner = bench_.Inner(size);
    SelfTestFrame built = bench_.Built(inner, seq);
    SelfTestFrame sealed = bench_.Sealed(built);
    if (packet()) bench_.FinishOuter(&sealed);
    SelfTestFrame& frame = packet() ? inner : built;
    frame.packet.offload.status =
        packet() ? OffloadStatus::kProtectRequested : OffloadStatus::kSealRequested;
    items_.push_back({.seq = seq++, .payload = size, .frame = frame, .expected = sealed});
  }
}

// Some neighbours arrive in the other order, and some packets come forged before they come as they
// should: a forged packet must leave no trace.
void Runner::MakeInbound(const std::vector<uint32_t>& sizes) {
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    AddRight(sizes[i], first_ + i);
    if (i % 8 == 1) AddForged(items_.back());
    if (i % 8 == 3) std::swap(items_[items_.size() - 1], items_[items_.size() - 2]);
  }
  if (test_.esn) AddOtherHighWord(block_.last);
  if (test_.replay) AddReplays();
  if (packet()) AddOutsideBlock();
}

Item Runner::Arriving(Due due, uint32_t size, uint64_t seq) {
  SelfTestFrame sealed = bench_.Sealed(bench_.Built(bench_.Inner(size), seq));
  bench_.FinishOuter(&sealed);
  SelfTestFrame expected = bench_.Opened(sealed);
  if (packet()) expected = bench_.Carried(expected);
  sealed.packet.offload = {};
  return {.due = due, .seq = seq, .payload = size, .frame = sealed, .expected = expected};
}

void Runner::AddRight(uint32_t size, uint64_t seq) {
  items_.push_back(Arriving(Due::kRight, size, seq));
}

// In front of the right one. Changes a bit of the ICV or of the bytes before it.
void Runner::AddForged(const Item& right) {
  Item forged = right;
  forged.due = Due::kForged;
  const uint32_t end = forged.frame.packet.length;
  const uint32_t back = items_.size() % 2 == 0 ? 1u : test_.icv_bytes + 1u;
  forged.frame.packet.data()[end - back] ^= 0x10;
  items_.insert(items_.end() - 1, std::move(forged));
}

// Sealed for the number with the next high word: what covers the high word shows here.
void Runner::AddOtherHighWord(uint64_t seq) {
  items_.push_back(Arriving(Due::kForged, 20, seq + (uint64_t{1} << 32)));
  items_.back().seq = seq;
}

void Runner::AddReplays() {
  std::vector<Item> again;
  for (std::size_t i = items_.size(); i-- > 0 && again.size() < 3;) {
    if (items_[i].due == Due::kRight) again.push_back(items_[i]);
  }
  for (Item& item : again) {
    item.due = Due::kReplay;
    items_.push_back(std::move(item));
  }
}

void Runner::AddOutsideBlock() {
  items_.push_back(Arriving(Due::kBelow, 30, block_.first - 1));
  items_.push_back(Arriving(Due::kAbove, 30, block_.last + 1));
}

// --- Judgement ---

const char* Runner::Judge(const Item& item) const {
  const OffloadStatus status = item.frame.packet.offload.status;
  const bool delivers = status == OffloadStatus::kDecapsulated ||
                        (status == OffloadStatus::kOpened && item.due != Due::kAbove);
  switch (item.due) {
    case Due::kRight:
      return JudgeRight(item);
    case Due::kForged:
      return delivers && item.drop == DropReason::kNone ? "it accepts a wrong ICV" : nullptr;
    case Due::kReplay:
      return delivers && item.drop == DropReason::kNone ? "it accepts a replayed packet" : nullptr;
    case Due::kAbove:
      return delivers && item.drop == DropReason::kNone ? "it accepts a number above its block"
                                                        : nullptr;
    case Due::kBelow:
      break;
  }
  const bool alone = item.drop == DropReason::kNone && status == OffloadStatus::kNone &&
                     std::ranges::equal(item.sent, item.frame.packet.l3());
  return alone ? nullptr : "it does not leave a number below its block alone";
}

const char* Runner::JudgeRight(const Item& item) const {
  const OffloadStatus status = item.frame.packet.offload.status;
  if (item.drop != DropReason::kNone) return "it drops a good packet";
  const bool untouched = status == OffloadStatus::kNone || status == OffloadStatus::kReturned;
  if (untouched && !packet()) {
    const bool same = std::ranges::equal(item.sent, item.frame.packet.l3());
    return same ? nullptr : "it changes a packet that it hands back";
  }
  if (!inbound()) {
    if (status != OffloadStatus::kSealed) return "it does not seal";
    const bool same =
        packet() ? SameProtected(item.expected, item.frame) : Same(item.expected, item.frame);
    return same ? nullptr : "what it seals is not what the CPU seals";
  }
  if (status == OffloadStatus::kAuthFailed) return "it refuses a good packet";
  if (status != (packet() ? OffloadStatus::kDecapsulated : OffloadStatus::kOpened)) {
    return "it does not open";
  }
  return Same(item.expected, item.frame) ? nullptr : "what it opens is not what the CPU opens";
}

SelfTestFailure Runner::FailureOf(const Item& item, const char* what) const {
  SelfTestFailure failure;
  failure.text = test_.Text() + ": " + what + " (payload of " + std::to_string(item.payload) +
                 " bytes, number " + std::to_string(item.seq) + ")";
  failure.proof.sent = item.sent;
  if (item.due == Due::kRight) failure.proof.expected = item.expected.Bytes();
  if (item.due == Due::kBelow) failure.proof.expected = item.sent;
  if (item.drop == DropReason::kNone) failure.proof.got = item.frame.Bytes();
  return failure;
}

std::string_view NameOf(SaMode mode) {
  return mode == SaMode::kTunnel ? "tunnel" : mode == SaMode::kBeet ? "beet" : "transport";
}

}  // namespace

std::string SelfTestCase::Text() const {
  const auto name = [](IpFamily family) { return family == IpFamily::kV4 ? "ipv4" : "ipv6"; };
  std::string text = mode == OffloadMode::kPacket ? "packet" : "crypto";
  text += IsInbound(half) ? " offload inbound, " : " offload outbound, ";
  text += encryption->name;
  if (auth != nullptr) text += " " + std::string(auth->name);
  if (key_bytes != 0) text += " key-" + std::to_string(key_bytes * 8);
  text += " icv-" + std::to_string(icv_bytes * 8) + ", " + std::string(NameOf(sa_mode)) + " ";
  if (inner != outer) text += std::string(name(inner)) + " in ";
  text += name(outer);
  if (esn) text += ", esn";
  if (encap) text += ", udp-encapsulation";
  if (replay) text += ", replay";
  return text;
}

SelfTestOutcomeOfCase RunSelfTestCase(const SelfTestCase& test, const EngineSet& engines,
                                      Loopback* loopback) {
  const auto bench = SelfTestBench::Make(test, engines);
  if (bench == nullptr) return {.kind = Kind::kNotTaken};
  return Runner(test, bench.get(), loopback).Run();
}

}  // namespace cygnet
