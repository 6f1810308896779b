/* soft_driver: a driver that seals and opens AES-GCM in memory with OpenSSL. It has no thread of
 * its own: each worker seals in tx_burst and opens in rx_burst, over its queue of the host's wire.
 *
 * Options: "slots=N": SAs of each direction, 1 to 4096 (1024). */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "soft.h"

static const struct cygnet_algorithm_caps kAlgorithms[] = {
    {.name = "rfc4106(gcm(aes))", .key_bytes = {16, 24, 32}, .icv_bytes = {8, 12, 16}},
};

static const struct cygnet_caps* soft_caps(void* device) { return &((struct soft*)device)->caps; }

static void soft_identity(void* device, struct cygnet_identity* identity) {
  identity->simulated = 1;
  identity->model = "soft_driver";
  identity->serial = ((struct soft*)device)->serial;
  identity->version = "1.0";
}

static void soft_status(void* device, struct cygnet_status* status) {
  struct soft* s = device;
  pthread_mutex_lock(&s->lock);
  status->state = s->down ? CYGNET_STATE_DOWN : CYGNET_STATE_UP;
  status->resets = (uint32_t)s->stats.resets;
  pthread_mutex_unlock(&s->lock);
}

static void soft_stats(void* device, struct cygnet_driver_stats* stats) {
  struct soft* s = device;
  const uint32_t size = stats->size < sizeof(*stats) ? stats->size : (uint32_t)sizeof(*stats);
  pthread_mutex_lock(&s->lock);
  memcpy(stats, &s->stats, size);
  pthread_mutex_unlock(&s->lock);
  stats->size = size;
}

static int32_t soft_fault(void* device, const char* fault, struct cygnet_refusal* refusal) {
  struct soft* s = device;
  int32_t result = 0;
  pthread_mutex_lock(&s->lock);
  if (strcmp(fault, "down") == 0) {
    s->down = 1;
  } else if (strcmp(fault, "up") == 0) {
    s->down = 0;
  } else if (strcmp(fault, "reset") == 0) {
    for (uint32_t i = 0; i < 2 * s->slots; ++i) {
      if (s->sas[i].handle != 0) erase(s, &s->sas[i]);
    }
    ++s->stats.resets;
  } else {
    result = refuse(refusal, CYGNET_REFUSED, EINVAL, "only \"down\", \"up\", \"reset\"");
  }
  pthread_mutex_unlock(&s->lock);
  if (result == 0) soft_ring(s);
  return result;
}

/* --- Open and close --- */

static void soft_close(void* device) {
  struct soft* s = device;
  for (uint32_t queue = 0; queue < MAX_QUEUES; ++queue) {
    struct returned* r = &s->returned[queue];
    for (; r->count > 0; --r->count) {
      s->services->packet_free(s->services->host->context, &r->packets[r->first], 1);
      r->first = (r->first + 1) % RETURN_RING;
    }
  }
  OPENSSL_cleanse(s->sas, 2 * s->slots * sizeof(*s->sas));
  pthread_mutex_destroy(&s->lock);
  free(s->sas);
  free(s->counts);
  free(s->erased);
  free(s);
}

static uint32_t slots_of(const struct cygnet_driver_open* params) {
  uint32_t slots = 1024;
  for (uint32_t i = 0; i < params->option_count; ++i) {
    char* end = NULL;
    if (strcmp(params->options[i].key, "slots") != 0) return 0;
    slots = (uint32_t)strtoul(params->options[i].value, &end, 10);
    if (*end != '\0' || slots > MAX_SLOTS) return 0;
  }
  return slots;
}

static int32_t soft_open(const struct cygnet_driver_open* params, void** device,
                         struct cygnet_refusal* refusal) {
  const uint32_t slots = slots_of(params);
  if (slots == 0)
    return refuse(refusal, CYGNET_REFUSED, EINVAL, "the only option is slots=1..4096");
  if (params->services->queues > MAX_QUEUES) {
    return refuse(refusal, CYGNET_REFUSED, EINVAL, "at most 16 queues");
  }
  struct soft* s = calloc(1, sizeof(*s));
  struct sa* sas = calloc(2 * slots, sizeof(*sas));
  uint16_t* counts = calloc(2 * slots, sizeof(*counts));
  if (s == NULL || sas == NULL || counts == NULL) {
    free(s);
    free(sas);
    free(counts);
    return refuse(refusal, CYGNET_REFUSED, ENOMEM, "out of memory");
  }
  pthread_mutex_init(&s->lock, NULL);
  s->sas = sas;
  s->counts = counts;
  s->services = params->services;
  s->slots = slots;
  strncpy(s->serial, params->name, sizeof(s->serial) - 1);
  s->caps = (struct cygnet_caps){
      .size = sizeof(s->caps),
      .can = CYGNET_CAN_CRYPTO_OFFLOAD | CYGNET_CAN_INBOUND | CYGNET_CAN_OUTBOUND | CYGNET_CAN_ESN,
      .modes = CYGNET_MODE_TRANSPORT | CYGNET_MODE_TUNNEL | CYGNET_MODE_BEET,
      .families = CYGNET_FAMILY_IPV4 | CYGNET_FAMILY_IPV6,
      .algorithms = kAlgorithms,
      .algorithm_count = 1,
      .max_replay_window = 4096,
      .outbound_slots = slots,
      .inbound_slots = slots,
  };
  *device = s;
  return 0;
}

static const struct cygnet_loopback kLoopback = {.size = sizeof(kLoopback), .loop = soft_loop};
static const struct cygnet_faults kFaults = {.size = sizeof(kFaults), .inject = soft_fault};

static const struct cygnet_driver kDriver = {
    .abi = CYGNET_ABI,
    .size = sizeof(kDriver),
    .name = "soft_driver",
    .version = "1.0",
    .vendor = "Cygnet (example)",
    .wire = CYGNET_WIRE_EACH,
    .open = soft_open,
    .close = soft_close,
    .caps = soft_caps,
    .identity = soft_identity,
    .status = soft_status,
    .stats = soft_stats,
    .install_sa = soft_install,
    .start_sa = soft_start,
    .stop_sa = soft_stop,
    .release_sa = soft_release,
    .take_erased = soft_take_erased,
    .advance_esn = soft_advance_esn,
    .filter_eligible = soft_eligible,
    .tx_burst = soft_tx,
    .rx_burst = soft_rx,
    .wait_fd = soft_wait_fd,
    .prepare_wait = soft_prepare_wait,
    .finish_wait = soft_finish_wait,
    .loopback = &kLoopback,
    .faults = &kFaults,
};

const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &kDriver : NULL;
}
