// CryptoJob: one seal or open, in place. Plain data, copied from a template of the SA and completed
// with the packet's pointers; carries AEADs and cipher + authenticator pairs alike.
#pragma once

#include <array>
#include <cstdint>

namespace cygnet {

class CryptoSession;

enum class CryptoStatus : uint8_t { kPending, kOk, kAuthFailed, kError };

struct CryptoJob {
  CryptoSession* session = nullptr;
  uint8_t* text = nullptr;  // sealed or opened in place
  uint32_t text_length = 0;
  uint32_t aad_length = 0;
  std::array<uint8_t, 16> nonce{};  // AEAD: salt ‖ IV; its length is the algorithm's
  std::array<uint8_t, 16> aad{};    // ESP: SPI ‖ [sequence high] ‖ sequence low
  uint8_t* icv = nullptr;           // written by seal, verified by open; length is the session's
  // Authenticators that run over the packet itself: the first byte covered (the ESP header) and the
  // word appended to the covered bytes without being sent (ESN high, RFC 4303 section 2.2.1).
  const uint8_t* auth_begin = nullptr;
  uint32_t esn_high = 0;
  bool append_esn_high = false;
  CryptoStatus status = CryptoStatus::kPending;
  uint16_t index = 0;  // of the packet in its owner's arrays; the engine leaves it alone
};

}  // namespace cygnet
