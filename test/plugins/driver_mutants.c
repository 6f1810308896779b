/* soft_driver with one broken promise: MUTANT is a number of driver_mutants.txt. soft_driver's own
 * entry is named soft_driver_entry here. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "soft.h"

const struct cygnet_driver* soft_driver_entry(uint32_t host_abi);

static struct cygnet_driver real;    /* soft_driver's table */
static struct cygnet_driver mutated; /* what the host gets */
static struct cygnet_loopback loopback;
static struct cygnet_faults faults;

static const uint8_t* kept_key;
static struct cygnet_packet* waiting[4 * CYGNET_BURST]; /* taken, not sent */
static uint32_t waiting_count;

static uint8_t* at(const struct cygnet_packet* p, uint32_t offset) {
  return p->buffer + p->head + offset;
}
static uint8_t* last(const struct cygnet_packet* p) { return at(p, p->length - 1); }
static int seals(const struct cygnet_packet* p) {
  return p->status == CYGNET_PACKET_SEAL_REQUESTED;
}

/* --- SAs --- */

static int32_t install(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                       struct cygnet_refusal* refusal) {
  struct soft* s = device;
  if (MUTANT == 3) memset(s->counts, 0, 2 * s->slots * sizeof(*s->counts));
  const int down = s->down;
  if (MUTANT == 30) s->down = 0;
  const int32_t result = real.install_sa(device, sa, handle, refusal);
  if (MUTANT == 30) s->down = down;
  if (result != 0 && MUTANT == 5) ++s->stats.outbound_used;
  if (result != 0 && MUTANT == 49) *handle = 0;
  if (result != 0) return result;
  if (MUTANT == 1) kept_key = sa->aead.key.data;
  if (MUTANT == 2) *handle = 42;
  if (MUTANT == 11) real.start_sa(device, *handle);
  return 0;
}

static void stop(void* device, uint32_t handle) {
  if (MUTANT != 12) real.stop_sa(device, handle);
}

static void release(void* device, uint32_t handle) {
  struct soft* s = device;
  if (MUTANT == 20) {
    s->services->packet_drop(s->services->host->context, waiting,
                             waiting_count < CYGNET_BURST ? waiting_count : CYGNET_BURST,
                             "out-device-error");
    waiting_count = 0;
  }
  if (MUTANT == 40 && find(s, handle) == NULL) handle = s->sas[0].handle;
  real.release_sa(device, handle);
}

static uint32_t take_erased(void* device, uint32_t* handles, uint32_t room) {
  static uint32_t again;
  if (MUTANT == 17) return 0;
  if (again != 0) {
    handles[0] = again;
    again = 0;
    return 1;
  }
  const uint32_t n = real.take_erased(device, handles, room);
  if (n > 0) again = handles[0];
  return n;
}

static void advance_esn(void* device, uint32_t handle, uint64_t highest) {
  (void)device;
  (void)handle;
  (void)highest;
}

/* --- Packets --- */

static void eligible_none(void* device, struct cygnet_packet* const* packets, uint32_t n,
                          uint8_t* eligible) {
  (void)device;
  (void)packets;
  memset(eligible, 0, n);
}

static atomic_int sealing;

static void before_send(struct soft* s, struct cygnet_packet* p) {
  struct sa* sa = find(s, p->handle);
  if (MUTANT == 1 && seals(p) && kept_key != NULL && sa != NULL) {
    memcpy(sa->gcm.key, kept_key, sa->gcm.key_bytes);
  }
  if (MUTANT == 7 && seals(p)) p->status = CYGNET_PACKET_SEALED;
  if (MUTANT == 8) p->esn_high = 0;
  if (MUTANT == 14 && p->status == CYGNET_PACKET_NONE) --*at(p, 22);
  if (MUTANT == 19 && seals(p) && sa == NULL) p->status = CYGNET_PACKET_NONE;
  if (MUTANT == 27 && seals(p) && p->length < 70) p->status = CYGNET_PACKET_NONE;
}

/* Keeps or drops some packets; the others stay in `out`. */
static uint32_t choose(struct soft* s, struct cygnet_packet* const* packets, uint32_t n,
                       struct cygnet_packet** out) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < n; ++i) {
    struct cygnet_packet* p = packets[MUTANT == 21 ? n - 1 - i : i];
    if (MUTANT == 45) {
      s->services->packet_free(s->services->host->context, &p, 1);
      continue;
    }
    if (MUTANT == 22 && seals(p) && find(s, p->handle) == NULL) continue;
    if (MUTANT == 29 && seals(p) && s->down) {
      s->services->packet_drop(s->services->host->context, &p, 1, "out-device-error");
      continue;
    }
    if ((MUTANT == 20 || MUTANT == 41) && waiting_count < 4 * CYGNET_BURST) {
      waiting[waiting_count++] = p;
      continue;
    }
    before_send(s, p);
    out[count++] = p;
  }
  return count;
}

static void sleep_in(int mutant) {
  const struct timespec pause = {.tv_nsec = 12000000};
  if (MUTANT == mutant) nanosleep(&pause, NULL);
}

/* soft_driver sends inside tx_burst, so what it seals is spoilt where it hands over to the wire. */
static const struct cygnet_driver_host* real_services;
static struct cygnet_driver_host services;
static struct cygnet_host host;

static void wire_send(void* context, uint32_t queue, struct cygnet_packet* const* packets,
                      uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    const int sealed = packets[i]->status == CYGNET_PACKET_SEALED;
    if (MUTANT == 6 && sealed && packets[i]->length > 1000) *last(packets[i]) ^= 1;
    if (MUTANT == 32 && sealed && atomic_load(&sealing) > 1) *last(packets[i]) ^= 1;
  }
  real_services->wire_send(context, queue, packets, n);
}

static void drop(void* context, struct cygnet_packet* const* packets, uint32_t n,
                 const char* reason) {
  (void)reason;
  real_services->packet_free(context, packets, n);
}

static uint32_t tx_burst(void* device, uint32_t queue, struct cygnet_packet* const* packets,
                         uint32_t n) {
  struct cygnet_packet* out[CYGNET_BURST];
  const uint32_t count = choose(device, packets, n, out);
  sleep_in(47);
  atomic_fetch_add(&sealing, 1);
  if (count > 0) real.tx_burst(device, queue, out, count);
  atomic_fetch_sub(&sealing, 1);
  return n;
}

/* Believes a packet whose ICV is right from byte 8 on. */
static void compare_half(const struct sa* sa, struct cygnet_packet* p) {
  static uint8_t copy[4096];
  uint8_t icv[16];
  const uint32_t icv_bytes = sa->gcm.icv_bytes;
  memcpy(icv, last(p) + 1 - icv_bytes, icv_bytes);
  memcpy(copy, at(p, 34), p->length - 34);
  uint8_t* text = at(p, 34); /* OpenSSL has opened it already */
  if (gcm_seal(&sa->gcm, text, p->length - 34, 0) &&
      memcmp(last(p) + 9 - icv_bytes, icv + 8, icv_bytes - 8) == 0) {
    p->status = CYGNET_PACKET_OPENED;
  }
  memcpy(text, copy, p->length - 34);
}

static void after_receive(struct soft* s, struct cygnet_packet* p) {
  struct sa* sa = find(s, p->handle);
  if (MUTANT == 44 && p->status == CYGNET_PACKET_AUTH_FAILED) compare_half(sa, p);
  const int esp = p->length > 34 && *at(p, 12) == 8 && *at(p, 23) == 50;
  if (MUTANT == 9 && sa != NULL) sa->highest &= 0xffffffffu;
  if (MUTANT == 10 && p->status == CYGNET_PACKET_AUTH_FAILED) p->status = CYGNET_PACKET_OPENED;
  if (MUTANT == 13 && esp && p->status == CYGNET_PACKET_NONE) p->status = CYGNET_PACKET_ERROR;
  if (MUTANT == 26 && p->status == CYGNET_PACKET_OPENED && sa != NULL) {
    p->length -= sa->gcm.icv_bytes;
  }
  if (MUTANT == 36 && p->length < 34) abort();
  if (MUTANT == 42 && p->status == CYGNET_PACKET_OPENED) p->handle = 0;
}

static uint32_t rx_burst(void* device, uint32_t queue, struct cygnet_packet** packets,
                         uint32_t room) {
  if (MUTANT == 20 && waiting_count > 0) {
    const uint32_t n = waiting_count < CYGNET_BURST ? waiting_count : CYGNET_BURST;
    real.tx_burst(device, queue, waiting, n);
    waiting_count = 0;
  }
  sleep_in(48);
  uint32_t n = real.rx_burst(device, queue, packets, room);
  if (MUTANT == 46 && n > 0) {
    const struct cygnet_driver_host* services = ((struct soft*)device)->services;
    services->packet_free(services->host->context, packets, n);
    n = 0;
  }
  for (uint32_t i = 0; i < n; ++i) after_receive(device, packets[i]);
  if (MUTANT == 15 && n > 1) {
    struct cygnet_packet* first = packets[0];
    packets[0] = packets[n - 1];
    packets[n - 1] = first;
  }
  return n;
}

/* --- The rest --- */

static void no_ring(void* context) { (void)context; }

static int never_readable(void* device, uint32_t queue) {
  (void)device;
  (void)queue;
  static int ends[2] = {-1, -1};
  return ends[0] < 0 && pipe(ends) != 0 ? -1 : ends[0];
}

static void stats(void* device, struct cygnet_driver_stats* out) {
  real.stats(device, out);
  if (MUTANT == 23) out->sealed = 0;
  if (MUTANT == 24) out->outbound_used = out->inbound_used = 0;
  if (MUTANT == 25) out->auth_failed = 0;
}

static const struct cygnet_caps* caps(void* device) {
  static const struct cygnet_algorithm_caps rows[] = {
      {.name = "rfc4106(gcm(aes))", .key_bytes = {16, 20}, .icv_bytes = {16}},
      {.name = "rfc7539esp(chacha20,poly1305)", .key_bytes = {32}, .icv_bytes = {16}},
  };
  static struct cygnet_caps mutant;
  mutant = *real.caps(device);
  if (MUTANT == 4) mutant.outbound_slots *= 2;
  if (MUTANT == 45 || MUTANT == 46) {
    mutant = (struct cygnet_caps){.size = sizeof(mutant)};
  }
  if (MUTANT == 38) mutant.algorithms = rows + 1;
  if (MUTANT == 39) mutant.algorithms = rows;
  return &mutant;
}

static int32_t loop(void* device, const struct cygnet_sa* sa, struct cygnet_packet* const* packets,
                    uint32_t n, const char** reasons) {
  ++((struct soft*)device)->stats.sealed;
  return real.loopback->loop(device, sa, packets, n, reasons);
}

static int32_t inject(void* device, const char* fault, struct cygnet_refusal* refusal) {
  if (MUTANT == 50) {
    host.ring = no_ring;
    const int32_t result = real.faults->inject(device, fault, refusal);
    host.ring = real_services->host->ring;
    return result;
  }
  if (strcmp(fault, "reset") != 0) return real.faults->inject(device, fault, refusal);
  ++((struct soft*)device)->stats.resets;
  return 0;
}

static void* only_device;
static int opened;

static int32_t open_device(const struct cygnet_driver_open* params, void** device,
                           struct cygnet_refusal* refusal) {
  struct cygnet_driver_open changed = *params;
  real_services = params->services;
  host = *params->services->host;
  services = *params->services;
  services.host = &host;
  if (MUTANT == 18) host.ring = no_ring;
  if (MUTANT == 6 || MUTANT == 32) services.wire_send = wire_send;
  if (MUTANT == 43) services.packet_drop = drop;
  if (MUTANT == 6 || MUTANT == 18 || MUTANT == 32 || MUTANT == 43 || MUTANT == 50)
    changed.services = &services;
  if (MUTANT == 34 && opened > 0) return -EBUSY;
  ++opened;
  if (MUTANT == 35 && only_device != NULL) {
    *device = only_device;
    return 0;
  }
  const int32_t result = real.open(&changed, device, refusal);
  only_device = *device;
  return result;
}

static void close_device(void* device) {
  if (--opened > 0 && MUTANT == 35) return;
  if (MUTANT == 34) ++opened;
  real.close(device);
}

const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  real = *soft_driver_entry(host_abi);
  mutated = real;
  mutated.open = open_device;
  mutated.close = close_device;
  mutated.install_sa = install;
  mutated.stop_sa = stop;
  mutated.release_sa = release;
  mutated.tx_burst = tx_burst;
  mutated.rx_burst = rx_burst;
  mutated.stats = stats;
  mutated.caps = caps;
  if (MUTANT == 16 || MUTANT == 17) mutated.take_erased = take_erased;
  if (MUTANT == 28) mutated.filter_eligible = eligible_none;
  if (MUTANT == 37) mutated.advance_esn = advance_esn;
  loopback = *real.loopback;
  loopback.loop = loop;
  if (MUTANT == 33) mutated.loopback = &loopback;
  faults = *real.faults;
  faults.inject = inject;
  if (MUTANT == 31 || MUTANT == 50) mutated.faults = &faults;
  if (MUTANT == 51) mutated.wait_fd = never_readable;
  return &mutated;
}
