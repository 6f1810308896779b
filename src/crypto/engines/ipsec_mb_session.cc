#include "crypto/engines/ipsec_mb_session.h"

#include <algorithm>
#include <cstring>

#include "base/key_material.h"

namespace cygnet::ipsec_mb {
namespace {

struct HmacRow {
  AlgorithmId id;
  IMB_HASH_ALG hash;
  std::size_t block_bytes;
  std::size_t icv_bytes;
  hash_one_block_t IMB_MGR::*one_block;
  hash_fn_t IMB_MGR::*digest;
};

constexpr HmacRow kHmacs[] = {
    {AlgorithmId::kHmacSha1, IMB_AUTH_HMAC_SHA_1, 64, 20, &IMB_MGR::sha1_one_block, &IMB_MGR::sha1},
    {AlgorithmId::kHmacSha256, IMB_AUTH_HMAC_SHA_256, 64, 32, &IMB_MGR::sha256_one_block,
     &IMB_MGR::sha256},
    {AlgorithmId::kHmacSha384, IMB_AUTH_HMAC_SHA_384, 128, 48, &IMB_MGR::sha384_one_block,
     &IMB_MGR::sha384},
    {AlgorithmId::kHmacSha512, IMB_AUTH_HMAC_SHA_512, 128, 64, &IMB_MGR::sha512_one_block,
     &IMB_MGR::sha512},
};

// RFC 2104: the hash states after the two padded key blocks.
void ExpandHmac(IMB_MGR* manager, const HmacRow& row, std::span<const uint8_t> key, MacKeys* out) {
  std::array<uint8_t, 128> block{};
  if (key.size() <= row.block_bytes) {
    std::copy(key.begin(), key.end(), block.begin());
  } else {
    (manager->*row.digest)(key.data(), key.size(), block.data());
  }
  for (uint8_t& b : block) b = static_cast<uint8_t>(b ^ 0x36);
  (manager->*row.one_block)(block.data(), out->first.data());
  for (uint8_t& b : block) b = static_cast<uint8_t>(b ^ 0x36 ^ 0x5c);
  (manager->*row.one_block)(block.data(), out->second.data());
  SecureWipe(block.data(), block.size());
}

template <typename T>
void Wipe(T* keys) {
  if (keys != nullptr) SecureWipe(keys, sizeof(*keys));
}

}  // namespace

Manager CreateManager(bool avx512) {
  Manager manager(alloc_mb_mgr(0));
  if (manager == nullptr) return nullptr;
  IMB_ARCH arch = IMB_ARCH_NONE;
  init_mb_mgr_auto(manager.get(), &arch);
  if (arch == IMB_ARCH_AVX512 && !avx512) init_mb_mgr_avx2(manager.get());
  const bool usable =
      arch != IMB_ARCH_NONE && arch != IMB_ARCH_NOAESNI && imb_get_errno(manager.get()) == 0;
  return usable ? std::move(manager) : nullptr;
}

Manager CreateNarrowManager() {
  Manager manager(alloc_mb_mgr(0));
  if (manager == nullptr || (manager->features & IMB_CPUFLAGS_SSE_T2) != IMB_CPUFLAGS_SSE_T2) {
    return nullptr;
  }
  init_mb_mgr_sse(manager.get());
  return imb_get_errno(manager.get()) == 0 ? std::move(manager) : nullptr;
}

bool HasWideLanes(const IMB_MGR& manager) { return manager.used_arch == IMB_ARCH_AVX512; }

Session::Session(IMB_MGR* manager, const SessionParams& params)
    : cipher_(params.cipher),
      direction_(params.direction),
      icv_bytes_(params.icv_bytes),
      key_bytes_(params.key.size() - params.cipher->salt_bytes) {
  const bool seal = direction_ == CryptoDirection::kSeal;
  const auto key = params.key.first(key_bytes_);
  if (cipher_->id == AlgorithmId::kAesGcm || cipher_->id == AlgorithmId::kAesGmac) {
    way_ = cipher_->id == AlgorithmId::kAesGcm ? Way::kGcm : Way::kGmac;
    ExpandGcm(manager, key);
    return;
  }
  job_.cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  job_.chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job_.key_len_in_bytes = key_bytes_;
  job_.iv_len_in_bytes =
      cipher_->iv_form == IvForm::kSealed ? cipher_->iv_bytes : cipher_->nonce_bytes();
  ExpandCipher(manager, key);
  if (params.auth != nullptr) ExpandMac(manager, *params.auth, params.auth_key);
}

Session::~Session() {
  Wipe(keys_.gcm.get());
  Wipe(keys_.aes.get());
  Wipe(keys_.des3.get());
  Wipe(keys_.mac.get());
  SecureWipe(keys_.chacha.data(), keys_.chacha.size());
}

void Session::ExpandGcm(IMB_MGR* manager, std::span<const uint8_t> key) {
  keys_.gcm = std::make_unique<gcm_key_data>();
  if (key.size() == 16) {
    IMB_AES128_GCM_PRE(manager, key.data(), keys_.gcm.get());
  } else if (key.size() == 24) {
    IMB_AES192_GCM_PRE(manager, key.data(), keys_.gcm.get());
  } else {
    IMB_AES256_GCM_PRE(manager, key.data(), keys_.gcm.get());
  }
}

void Session::ExpandCipher(IMB_MGR* manager, std::span<const uint8_t> key) {
  switch (cipher_->id) {
    case AlgorithmId::kAesCbc:
      job_.cipher_mode = IMB_CIPHER_CBC;
      ExpandAes(manager, key);
      break;
    case AlgorithmId::kAesCtr:
      job_.cipher_mode = IMB_CIPHER_CNTR;
      ExpandAes(manager, key);
      break;
    case AlgorithmId::kDes3Cbc:
      job_.cipher_mode = IMB_CIPHER_DES3;
      keys_.des3 = std::make_unique<Des3Keys>();
      for (std::size_t i = 0; i < 3; ++i) {
        IMB_DES_KEYSCHED(manager, keys_.des3->schedules[i].data(), key.data() + 8 * i);
        keys_.des3->pointers[i] = keys_.des3->schedules[i].data();
      }
      job_.enc_keys = job_.dec_keys = keys_.des3->pointers.data();
      break;
    case AlgorithmId::kChaCha20Poly1305:
      job_.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
      job_.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
      job_.auth_tag_output_len_in_bytes = 16;
      std::copy(key.begin(), key.end(), keys_.chacha.begin());
      job_.enc_keys = job_.dec_keys = keys_.chacha.data();
      break;
    default:
      job_.cipher_mode = IMB_CIPHER_NULL;
      break;
  }
}

void Session::ExpandAes(IMB_MGR* manager, std::span<const uint8_t> key) {
  keys_.aes = std::make_unique<AesKeys>();
  uint8_t* encrypt = keys_.aes->encrypt.data();
  uint8_t* decrypt = keys_.aes->decrypt.data();
  if (key.size() == 16) {
    IMB_AES_KEYEXP_128(manager, key.data(), encrypt, decrypt);
  } else if (key.size() == 24) {
    IMB_AES_KEYEXP_192(manager, key.data(), encrypt, decrypt);
  } else {
    IMB_AES_KEYEXP_256(manager, key.data(), encrypt, decrypt);
  }
  job_.enc_keys = encrypt;
  job_.dec_keys = decrypt;
}

void Session::ExpandMac(IMB_MGR* manager, const AlgorithmDescriptor& auth,
                        std::span<const uint8_t> key) {
  keys_.mac = std::make_unique<MacKeys>();
  MacKeys* mac = keys_.mac.get();
  job_.auth_tag_output_len_in_bytes = auth.icv_bytes[0];
  if (auth.id == AlgorithmId::kAesCmac) {
    AesKeys unused;
    IMB_AES_KEYEXP_128(manager, key.data(), mac->chaining.data(), unused.decrypt.data());
    SecureWipe(&unused, sizeof(unused));
    IMB_AES_CMAC_SUBKEY_GEN_128(manager, mac->chaining.data(), mac->first.data(),
                                mac->second.data());
    job_.hash_alg = IMB_AUTH_AES_CMAC;
    job_.u.CMAC._key_expanded = mac->chaining.data();
    job_.u.CMAC._skey1 = mac->first.data();
    job_.u.CMAC._skey2 = mac->second.data();
    return;
  }
  for (const HmacRow& row : kHmacs) {
    if (row.id != auth.id) continue;
    ExpandHmac(manager, row, key, mac);
    job_.hash_alg = row.hash;
    job_.u.HMAC._hashed_auth_key_xor_ipad = mac->first.data();
    job_.u.HMAC._hashed_auth_key_xor_opad = mac->second.data();
  }
}

}  // namespace cygnet::ipsec_mb
