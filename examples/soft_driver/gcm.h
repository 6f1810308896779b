/* AES-GCM of ESP (RFC 4106) in place, with OpenSSL. */
#ifndef SOFT_DRIVER_GCM_H
#define SOFT_DRIVER_GCM_H

#include <cygnet/types.h>

struct gcm {
  uint8_t key[32]; /* without salt */
  uint8_t salt[4];
  uint32_t key_bytes;
  uint32_t icv_bytes;
  int esn;
};

/* Copies the key. 0: no such lengths. */
int gcm_set(struct gcm* gcm, const struct cygnet_algorithm* algorithm, int esn);
/* `esp` begins at the SPI and ends behind the ICV. 0: too short, or the ICV does not hold. */
int gcm_has_room(const struct gcm* gcm, uint32_t length);
int gcm_seal(const struct gcm* gcm, uint8_t* esp, uint32_t length, uint32_t esn_high);
int gcm_open(const struct gcm* gcm, uint8_t* esp, uint32_t length, uint32_t esn_high);

#endif
