// Engine over Intel's multi-buffer library: SIMD lanes across packets and SAs.
#include "base/check.h"
#include "crypto/engines/ipsec_mb_queue.h"

namespace cygnet {
namespace {

class IpsecMbEngine final : public CryptoEngine {
 public:
  explicit IpsecMbEngine(bool avx512) : avx512_(avx512) {}

  std::string_view name() const override { return "ipsec_mb"; }
  ModuleIdentity identity() const override {
    return {.model = "Intel ipsec-mb", .version = imb_get_version_str()};
  }

  // Never: CCM, because the library has no 192-bit keys for it, and XCBC, because it only returns
  // 96 bits. Without 512-bit lanes ChaCha20 and 3DES are slower than OpenSSL's.
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    if (cipher.kind == AlgorithmKind::kAead) {
      return auth == nullptr && cipher.id != AlgorithmId::kAesCcm &&
             (cipher.id != AlgorithmId::kChaCha20Poly1305 || HasWideLanes());
    }
    return (cipher.id != AlgorithmId::kDes3Cbc || HasWideLanes()) &&
           cipher.kind == AlgorithmKind::kCipher && auth != nullptr &&
           auth->kind == AlgorithmKind::kAuth && auth->id != AlgorithmId::kAesXcbc;
  }

  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override {
    CYGNET_RETURN_IF_ERROR(CheckSessionParams(*this, params));
    // The ESN word is written over the ICV and must not reach beyond it.
    if (params.auth != nullptr && params.icv_bytes < 4) {
      return MakeError(Errc::kNotSupported,
                       "ipsec_mb: ICVs shorter than 32 bits are not supported");
    }
    if (keys_ == nullptr) return MakeError(Errc::kNotSupported, "ipsec_mb: unusable on this CPU");
    return std::unique_ptr<CryptoSession>(std::make_unique<ipsec_mb::Session>(keys_.get(), params));
  }

  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override {
    CYGNET_CHECK(keys_ != nullptr);
    (void)number;  // sessions are read-only, so any queue serves any of them
    return std::make_unique<ipsec_mb::Queue>(ipsec_mb::CreateManager(avx512_),
                                             ipsec_mb::CreateNarrowManager());
  }

 private:
  bool HasWideLanes() const { return keys_ != nullptr && ipsec_mb::HasWideLanes(*keys_); }

  const bool avx512_;
  const ipsec_mb::Manager keys_ = ipsec_mb::CreateManager(avx512_);  // expands keys, control thread
};

int Probe() {
  static const bool usable = ipsec_mb::CreateManager(true) != nullptr;
  return usable ? 20 : 0;
}

}  // namespace

extern const EngineInfo kIpsecMbEngine;
const EngineInfo kIpsecMbEngine = {
    .name = "ipsec_mb",
    .help = "Intel Multi-Buffer Crypto for IPsec on the CPU",
    .probe = Probe,
    .create = [](const EngineOptions& options) -> std::unique_ptr<CryptoEngine> {
      return std::make_unique<IpsecMbEngine>(options.avx512);
    },
    .version = [] { return std::string(imb_get_version_str()); },
};

}  // namespace cygnet
