// CryptoJob: one seal or open, in place. Plain data: copied from a template of the SA, then filled
// with the packet's pointers. Covers AEADs and cipher + authenticator pairs.
#pragma once

#include <array>
#include <cstdint>

namespace cygnet {

class CryptoSession;

enum class CryptoStatus : uint8_t {
  kPending,
  kOk,
  kAuthFailed,
  kError,    // the bytes must not be used
  kNotDone,  // the device gave up before it touched a byte: another engine may do the job
};

struct CryptoJob {
  CryptoSession* session = nullptr;
  // Sealed or opened in place. When sealing with IvForm::kSealed, the text begins with the IV
  // block.
  uint8_t* text = nullptr;
  uint32_t text_length = 0;
  uint32_t aad_length = 0;
  // AEAD and counter mode: salt ‖ IV. IvForm::kSealed: the IV (zero when sealing). Its length is
  // fixed by the algorithm.
  std::array<uint8_t, 16> nonce{};
  // ESP: SPI ‖ [sequence high] ‖ sequence low; RFC 4543: ‖ IV.
  std::array<uint8_t, 24> aad{};
  uint8_t* icv = nullptr;  // written by seal, verified by open; the session fixes its length
  // Authenticators cover the packet from here (the ESP header) to the end of the text, then, if
  // append_esn_high, a word that is not sent (sequence high, RFC 4303 section 2.2.1).
  const uint8_t* auth_begin = nullptr;
  uint32_t esn_high = 0;
  bool append_esn_high = false;  // REQUIRES if true: the ICV directly follows the text
  CryptoStatus status = CryptoStatus::kPending;
  uint16_t index = 0;  // of the packet in its owner's arrays; the engine does not use it
  uint32_t tag = 0;    // same: where the owner of an asynchronous job parked the packet
};

}  // namespace cygnet
