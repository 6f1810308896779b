#include "gcm.h"

#include <openssl/evp.h>
#include <string.h>

enum { HEADER = 8, IV = 8, TRAILER = 2 };

int gcm_set(struct gcm* gcm, const struct cygnet_algorithm* algorithm, int esn) {
  const uint32_t key_bytes = algorithm->key.length - 4;
  const uint32_t icv = algorithm->icv_bytes;
  if (key_bytes != 16 && key_bytes != 24 && key_bytes != 32) return 0;
  if (icv != 8 && icv != 12 && icv != 16) return 0;
  memcpy(gcm->key, algorithm->key.data, key_bytes);
  memcpy(gcm->salt, algorithm->key.data + key_bytes, sizeof(gcm->salt));
  gcm->key_bytes = key_bytes;
  gcm->icv_bytes = icv;
  gcm->esn = esn;
  return 1;
}

int gcm_has_room(const struct gcm* gcm, uint32_t length) {
  return length >= HEADER + IV + TRAILER + gcm->icv_bytes;
}

static const EVP_CIPHER* cipher_of(const struct gcm* gcm) {
  return gcm->key_bytes == 16   ? EVP_aes_128_gcm()
         : gcm->key_bytes == 24 ? EVP_aes_192_gcm()
                                : EVP_aes_256_gcm();
}

/* SPI ‖ [sequence high] ‖ sequence low. */
static int aad_of(const struct gcm* gcm, const uint8_t* esp, uint32_t esn_high, uint8_t aad[12]) {
  memcpy(aad, esp, HEADER);
  if (!gcm->esn) return HEADER;
  memcpy(aad + 8, esp + 4, 4);
  for (int i = 0; i < 4; ++i) aad[4 + i] = (uint8_t)(esn_high >> (24 - 8 * i));
  return 12;
}

static int run(const struct gcm* gcm, uint8_t* esp, uint32_t length, uint32_t esn_high, int seal) {
  if (!gcm_has_room(gcm, length)) return 0;
  EVP_CIPHER_CTX* ctx = EVP_CIPHER_CTX_new();
  if (ctx == NULL) return 0;
  uint8_t aad[12];
  uint8_t nonce[12];
  uint8_t* text = esp + HEADER + IV;
  const int icv_bytes = (int)gcm->icv_bytes;
  const int text_bytes = (int)(length - HEADER - IV) - icv_bytes;
  uint8_t* icv = text + text_bytes;
  int n = 0;
  memcpy(nonce, gcm->salt, 4);
  memcpy(nonce + 4, esp + HEADER, IV);
  const int aad_bytes = aad_of(gcm, esp, esn_high, aad);
  int good = EVP_CipherInit_ex(ctx, cipher_of(gcm), NULL, gcm->key, nonce, seal) == 1;
  good = good && (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, icv_bytes, icv) == 1);
  good = good && EVP_CipherUpdate(ctx, NULL, &n, aad, aad_bytes) == 1 &&
         EVP_CipherUpdate(ctx, text, &n, text, text_bytes) == 1 &&
         EVP_CipherFinal_ex(ctx, text + n, &n) == 1;
  good = good && (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, icv_bytes, icv) == 1);
  EVP_CIPHER_CTX_free(ctx);
  return good;
}

int gcm_seal(const struct gcm* gcm, uint8_t* esp, uint32_t length, uint32_t esn_high) {
  return run(gcm, esp, length, esn_high, 1);
}

int gcm_open(const struct gcm* gcm, uint8_t* esp, uint32_t length, uint32_t esn_high) {
  return run(gcm, esp, length, esn_high, 0);
}
