// ShadowDesk: where one thread computes copies of packets again: a buffer and the queues of the
// CPU's engines.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "crypto/engine_set.h"
#include "datapath/shadow/shadow_session.h"
#include "esp/crypto_jobs.h"
#include "packet/packet_pool.h"

namespace cygnet {

class ShadowDesk {
 public:
  using Queues = std::array<CryptoQueue*, EngineSet::kMaxEngines>;
  // `queues`: by engine number; of CPU engines. They outlive this.
  explicit ShadowDesk(const Queues& queues)
      : queues_(queues), bytes_(new uint8_t[kBytes]), spare_(new uint8_t[kBytes]) {}

  // A copy of ESP bytes, in the buffer until the next copy. Empty: larger than any packet.
  std::span<uint8_t> Copy(std::span<const uint8_t> bytes) { return CopyTo(bytes_.get(), bytes); }
  // The same in a second buffer.
  std::span<uint8_t> Spare(std::span<const uint8_t> bytes) { return CopyTo(spare_.get(), bytes); }

  // Opens or seals `esp`, from the SPI to the end of the ICV, in place, with the IV that it has.
  // Sealing an opened packet again writes the ICV that an honest sender wrote.
  CryptoStatus Run(esp::JobParams params, const EngineSession& with, uint32_t esn_high,
                   std::span<uint8_t> esp);

 private:
  static constexpr std::size_t kBytes = kJumboPacketBytes;
  static std::span<uint8_t> CopyTo(uint8_t* to, std::span<const uint8_t> bytes);

  const Queues queues_;
  const std::unique_ptr<uint8_t[]> bytes_;
  const std::unique_ptr<uint8_t[]> spare_;
};

// The text of an opened packet, between IV and ICV.
struct ShadowText {
  uint8_t next_header = 0;
  std::span<const uint8_t> payload;  // without padding and trailer
  std::span<const uint8_t> padding;
};
// False: the pad length exceeds the text.
bool ReadText(const EspLayout& layout, std::span<const uint8_t> esp, ShadowText* text);

std::vector<uint8_t> CopyOf(std::span<const uint8_t> bytes);

}  // namespace cygnet
