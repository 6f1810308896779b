/* The table of SAs. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "soft.h"

void soft_ring(struct soft* s) { s->services->host->ring(s->services->host->context); }

int32_t refuse(struct cygnet_refusal* refusal, uint32_t kind, int32_t code, const char* text) {
  refusal->kind = kind;
  strncpy(refusal->text, text, sizeof(refusal->text) - 1);
  return -code;
}

/* A handle is the slot, a counter of the slot, and the reset that it came after, so that a packet
 * of a lost SA is known as such. The counter of a slot is never 0. */
static uint32_t new_handle(struct soft* s, struct sa* slot) {
  const uint32_t index = (uint32_t)(slot - s->sas);
  uint32_t count = (s->counts[index] + 1u) & 0x7ffu;
  if (count == 0) count = 1;
  s->counts[index] = (uint16_t)count;
  return (uint32_t)(s->stats.resets & 0xff) << 24 | count << 13 | index;
}

int lost_by_reset(const struct soft* s, uint32_t handle) {
  return handle >> 24 != (uint32_t)(s->stats.resets & 0xff);
}

struct sa* find(struct soft* s, uint32_t handle) {
  const uint32_t index = handle & (MAX_SLOTS * 2 - 1);
  if (handle == 0 || index >= 2 * s->slots || s->sas[index].handle != handle) return NULL;
  return &s->sas[index];
}

struct sa* find_arriving(struct soft* s, uint32_t spi, const struct cygnet_address* daddr) {
  for (uint32_t i = s->slots; i < 2 * s->slots; ++i) {
    struct sa* sa = &s->sas[i];
    if (sa->handle != 0 && sa->matches && sa->spi == spi && sa->daddr.family == daddr->family &&
        memcmp(sa->daddr.bytes, daddr->bytes, sizeof(daddr->bytes)) == 0) {
      return sa;
    }
  }
  return NULL;
}

void erase(struct soft* s, struct sa* sa) {
  if (sa->half == CYGNET_INBOUND) {
    --s->stats.inbound_used;
  } else {
    --s->stats.outbound_used;
  }
  s->erased[s->erased_count++] = sa->handle; /* install_sa has made room */
  OPENSSL_cleanse(sa, sizeof(*sa));
}

/* Room for the handles of all SAs and those not taken yet: erase cannot fail. */
static int make_room(struct soft* s) {
  uint32_t needed = s->erased_count + s->stats.inbound_used + s->stats.outbound_used + 1;
  if (needed <= s->erased_room) return 1;
  uint32_t* more = realloc(s->erased, 2 * needed * sizeof(*more));
  if (more == NULL) return 0;
  s->erased = more;
  s->erased_room = 2 * needed;
  return 1;
}

int make_sa(const struct cygnet_sa* from, struct sa* to) {
  memset(to, 0, sizeof(*to));
  to->half = from->half;
  to->spi = from->spi;
  to->daddr = from->daddr;
  to->highest = from->highest;
  to->window = from->replay_window;
  return gcm_set(&to->gcm, &from->aead, (from->flags & CYGNET_SA_ESN) != 0);
}

static int32_t add(struct soft* s, const struct cygnet_sa* sa, uint32_t* handle,
                   struct cygnet_refusal* refusal) {
  if (s->down) return refuse(refusal, CYGNET_REFUSED_DOWN, EOPNOTSUPP, "the unit is down");
  if (sa->aead.name == NULL || strcmp(sa->aead.name, "rfc4106(gcm(aes))") != 0) {
    return refuse(refusal, CYGNET_REFUSED, EOPNOTSUPP, "only rfc4106(gcm(aes))");
  }
  struct sa* begin = s->sas + (sa->half == CYGNET_INBOUND ? s->slots : 0);
  struct sa* slot = begin;
  while (slot < begin + s->slots && slot->handle != 0) ++slot;
  if (slot == begin + s->slots) {
    return refuse(refusal, CYGNET_REFUSED_TABLE_FULL, ENOSPC, "no free slot");
  }
  if (!make_room(s)) return refuse(refusal, CYGNET_REFUSED, ENOMEM, "out of memory");
  if (!make_sa(sa, slot)) {
    OPENSSL_cleanse(slot, sizeof(*slot));
    return refuse(refusal, CYGNET_REFUSED, EOPNOTSUPP, "no such length of key or ICV");
  }
  *handle = slot->handle = new_handle(s, slot);
  if (sa->half == CYGNET_INBOUND) {
    ++s->stats.inbound_used;
  } else {
    ++s->stats.outbound_used;
  }
  return 0;
}

int32_t soft_install(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                     struct cygnet_refusal* refusal) {
  struct soft* s = device;
  pthread_mutex_lock(&s->lock);
  int32_t result = add(s, sa, handle, refusal);
  if (result != 0) ++s->stats.refusals;
  pthread_mutex_unlock(&s->lock);
  return result;
}

static void set_matches(struct soft* s, uint32_t handle, int matches) {
  pthread_mutex_lock(&s->lock);
  struct sa* sa = find(s, handle);
  if (sa != NULL) sa->matches = matches;
  pthread_mutex_unlock(&s->lock);
}

void soft_start(void* device, uint32_t handle) { set_matches(device, handle, 1); }
void soft_stop(void* device, uint32_t handle) { set_matches(device, handle, 0); }

/* Packets are sealed inside tx_burst, so none that was taken is still waiting. */
void soft_release(void* device, uint32_t handle) {
  struct soft* s = device;
  pthread_mutex_lock(&s->lock);
  struct sa* sa = find(s, handle);
  if (sa != NULL) erase(s, sa);
  pthread_mutex_unlock(&s->lock);
  if (sa != NULL) soft_ring(s);
}

uint32_t soft_take_erased(void* device, uint32_t* handles, uint32_t room) {
  struct soft* s = device;
  pthread_mutex_lock(&s->lock);
  uint32_t n = s->erased_count < room ? s->erased_count : room;
  s->erased_count -= n;
  if (n > 0) memcpy(handles, s->erased + s->erased_count, n * sizeof(*handles));
  pthread_mutex_unlock(&s->lock);
  return n;
}

void soft_advance_esn(void* device, uint32_t handle, uint64_t highest) {
  struct soft* s = device;
  pthread_mutex_lock(&s->lock);
  struct sa* sa = find(s, handle);
  if (sa != NULL && highest > sa->highest) sa->highest = highest;
  pthread_mutex_unlock(&s->lock);
}
