// AuditingPeer: the far end of an SA in each direction, which opens every frame and counts what
// must not happen. Packets carry a number of their own (id), so that each is found again.
#pragma once

#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "sa/replay_window.h"
#include "support/esp_oracle.h"

namespace cygnet::test {

inline constexpr uint32_t kPeerSpiOut = 0x1000;  // from the host to the peer
inline constexpr uint32_t kPeerSpiIn = 0x2000;

// `before`: the number before the first one. If it is larger than 32 bits, the SA has ESN.
inline uint8_t PeerFlags(uint64_t before) { return before >> 32 != 0 ? kSaFlagEsn : uint8_t{0}; }
inline SaOptions PeerOut(uint32_t window = 64, uint64_t before = 0) {
  return {.spi = kPeerSpiOut,
          .flags = PeerFlags(before),
          .window = window,
          .oseq = before,
          .direction = SaDirection::kOut};
}
inline SaOptions PeerIn(uint32_t window = 64, uint64_t before = 0) {
  return {.src = "192.0.2.2",
          .dst = "192.0.2.1",
          .spi = kPeerSpiIn,
          .reqid = 2,
          .flags = PeerFlags(before),
          .window = window,
          .seq = before,
          .direction = SaDirection::kIn};
}

inline Bytes PayloadOf(uint64_t id) {
  Bytes payload(32, 0xa5);
  for (std::size_t i = 0; i < 8; ++i) payload[i] = static_cast<uint8_t>(id >> (8 * i));
  return payload;
}

inline Bytes Numbered(const char* src, const char* dst, uint64_t id) {
  return Frame(Udp({.src = src, .dst = dst}, 1, 2, PayloadOf(id)));
}

// Of a frame made by Numbered, or of its IP packet with `l3` 0.
inline uint64_t IdOf(std::span<const uint8_t> bytes, std::size_t l3) {
  uint64_t id = 0;
  for (std::size_t i = 0; i < 8; ++i) id |= uint64_t{bytes[l3 + 28 + i]} << (8 * i);
  return id;
}

// The payload is not the one that was sent with this id.
inline bool IsChanged(std::span<const uint8_t> bytes, std::size_t l3) {
  const Bytes sent = PayloadOf(IdOf(bytes, l3));
  return bytes.size() < l3 + 28 + sent.size() ||
         !std::equal(sent.begin(), sent.end(),
                     bytes.begin() + static_cast<std::ptrdiff_t>(l3 + 28));
}

class AuditingPeer {
 public:
  AuditingPeer(uint32_t seed, uint32_t window, uint64_t before = 0)
      : spec_out_(MakeSpec(PeerOut(window, before))),
        spec_in_(MakeSpec(PeerIn(window, before))),
        random_(seed),
        window_(StateAt(before, spec_out_.replay), spec_out_.esn()),
        number_(before) {}

  // A frame that the host sent to the wire.
  void Audit(const Bytes& frame) {
    const bool esp = frame.size() > 34 + 32 && frame[14] == 0x45 && frame[23] == kProtoEsp;
    if (!esp) {
      ++clear;
      return;
    }
    const uint64_t number = window_.InferHigh(LoadBe32(frame.data() + 38));
    uint64_t iv = 0;
    std::memcpy(&iv, frame.data() + 42, sizeof(iv));
    const bool new_number = numbers_.insert(number).second;
    const bool new_iv = ivs_.insert(iv).second;
    if (!new_number || !new_iv) ++repeated;
    const auto text = OracleOpen(spec_out_, number, std::span(frame).subspan(34));
    if (!text.has_value()) {
      ++broken;
      return;
    }
    if (window_.Check(number) != DropReason::kNone) {
      ++late;
      return;
    }
    (void)window_.Commit(number);
    if (IsChanged(*text, 0)) ++wrong;
    if (!received.insert(IdOf(*text, 0)).second) ++doubled;
  }
  // The next frame for the host, sometimes one that it has had.
  Bytes Next() {
    if (!sent_.empty() && random_() % 8 == 0) {
      return sent_[sent_.size() - 1 - random_() % std::min<std::size_t>(sent_.size(), 300)];
    }
    return NextNew();
  }
  Bytes NextNew() {
    sent_.push_back(Seal(next_id_++));
    return sent_.back();
  }
  // One that the host has had.
  Bytes Again() {
    return sent_[sent_.size() - 1 - random_() % std::min<std::size_t>(sent_.size(), 30)];
  }
  // One with a new number and a wrong ICV. Its id is none of the others'.
  static constexpr uint64_t kForged = uint64_t{1} << 40;
  Bytes NextForged() {
    Bytes frame = Seal(kForged + number_);
    frame.back() ^= 1;
    return frame;
  }
  // As a sender that goes on behind a block.
  void Skip(uint64_t numbers) { number_ += numbers; }
  uint64_t number() const { return number_; }
  uint64_t ids() const { return next_id_; }

  // In clear; with a number or an IV that was used before; whose ICV does not verify; that the
  // replay window refuses; whose payload is changed; that came before.
  uint64_t clear = 0, repeated = 0, broken = 0, late = 0, wrong = 0, doubled = 0;
  std::set<uint64_t> received;

 private:
  Bytes Seal(uint64_t id) {
    const Bytes inner = Numbered("10.2.0.1", "10.1.0.1", id);
    return SealedFrame(spec_in_, ++number_,
                       WithTrailer({inner.begin() + 14, inner.end()}, kProtoIpip));
  }

  static ReplayState StateAt(uint64_t before, ReplayState state) {
    state.seq = before;
    return state;
  }

  const SaSpec spec_out_;
  const SaSpec spec_in_;
  std::mt19937 random_;
  ReplayWindow window_;
  std::set<uint64_t> numbers_;
  std::set<uint64_t> ivs_;
  std::vector<Bytes> sent_;
  uint64_t number_;
  uint64_t next_id_ = 0;
};

}  // namespace cygnet::test
