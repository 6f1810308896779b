// CryptoJob: one seal or open, in place. Plain data, copied from a template of the SA and completed
// with the packet's pointers; carries AEADs and cipher + authenticator pairs alike.
#pragma once

#include <array>
#include <cstdint>

namespace cygnet {

class CryptoSession;

enum class CryptoStatus : uint8_t {
  kPending,
  kOk,
  kAuthFailed,
  kError,    // the bytes are not to be used
  kNotDone,  // the device gave up before it touched a byte: somebody else may do the job
};

struct CryptoJob {
  CryptoSession* session = nullptr;
  // Sealed or opened in place. When sealing with IvForm::kSealed the text begins with the IV block.
  uint8_t* text = nullptr;
  uint32_t text_length = 0;
  uint32_t aad_length = 0;
  // AEAD and counter mode: salt ‖ IV; IvForm::kSealed: the IV (sealing: zero). Its length is the
  // algorithm's.
  std::array<uint8_t, 16> nonce{};
  // ESP: SPI ‖ [sequence high] ‖ sequence low; RFC 4543: ‖ IV.
  std::array<uint8_t, 24> aad{};
  uint8_t* icv = nullptr;  // written by seal, verified by open; its length is the session's
  // Authenticators run over the packet itself: from here (the ESP header) to the end of the text,
  // then over a word that is not sent (sequence high, RFC 4303 section 2.2.1) when there is one.
  const uint8_t* auth_begin = nullptr;
  uint32_t esn_high = 0;
  bool append_esn_high = false;  // REQUIRES then: the ICV lies right behind the text
  CryptoStatus status = CryptoStatus::kPending;
  uint16_t index = 0;  // of the packet in its owner's arrays; the engine leaves it alone
  uint32_t tag = 0;    // likewise: where an asynchronous job's owner parked the packet
};

}  // namespace cygnet
