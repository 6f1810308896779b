/* The software NIC as a library, with one promise of packet offload broken: the option "mutant=N"
 * says which (packet_mutants.txt). 0: none. */
#define _GNU_SOURCE
#include <cygnet/driver.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct cygnet_driver* real;
static struct cygnet_driver mutated;
static struct cygnet_packet_mode packet;
static int mutant;

static int32_t open_device(const struct cygnet_driver_open* params, void** device,
                           struct cygnet_refusal* refusal) {
  struct cygnet_driver_open without = *params;
  without.option_count = 0;
  for (uint32_t i = 0; i < params->option_count; ++i) {
    if (strcmp(params->options[i].key, "mutant") == 0) mutant = atoi(params->options[i].value);
  }
  const int32_t result = real->open(&without, device, refusal);
  if (result == 0 && mutant == 13) real->faults->inject(*device, "let-replay 1000", refusal);
  return result;
}

static int32_t install(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                       struct cygnet_refusal* refusal) {
  struct cygnet_sa changed = *sa;
  const int in = sa->half == CYGNET_INBOUND;
  if (mutant == 1) changed.iv_mask = 0;
  if (mutant == 3) changed.udp_sport = changed.udp_dport = 0;
  if ((mutant == 6 && !in) || (mutant == 16 && in)) changed.numbers.last += 100000;
  if (mutant == 15 && in) changed.numbers.first = 1;
  return real->install_sa(device, &changed, handle, refusal);
}

static int32_t add_policy(void* device, const struct cygnet_policy* policy, uint32_t* handle,
                          struct cygnet_refusal* refusal) {
  if (mutant == 4 && policy->action == CYGNET_POLICY_BLOCK) {
    *handle = 999;
    return 0;
  }
  return real->packet->add_policy(device, policy, handle, refusal);
}

static void remove_policy(void* device, uint32_t handle) {
  if (mutant != 5) real->packet->remove_policy(device, handle);
}

static void grant(void* device, uint32_t handle, const struct cygnet_numbers* block) {
  if (mutant != 8) real->packet->grant(device, handle, block);
}

static void set_limits(void* device, uint32_t handle, const struct cygnet_limits* limits) {
  struct cygnet_limits changed = *limits;
  if (mutant == 9) return;
  if (mutant == 10) changed.hard_packets = CYGNET_UNLIMITED;
  real->packet->set_limits(device, handle, &changed);
}

static uint32_t take_events(void* device, struct cygnet_event* events, uint32_t room) {
  static struct cygnet_event hard; /* that is raised, and not enforced */
  if (mutant == 10 && hard.handle != 0 && room > 0) {
    events[0] = hard;
    hard.handle = 0;
    return 1;
  }
  const uint32_t n = real->packet->take_events(device, events, room);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (mutant == 7 && events[i].kind == CYGNET_EVENT_NUMBERS_LOW) continue;
    if (events[i].kind == CYGNET_EVENT_SOFT_LIMIT) {
      hard = (struct cygnet_event){events[i].handle, CYGNET_EVENT_HARD_LIMIT};
    }
    events[kept++] = events[i];
  }
  return kept;
}

static int32_t read_sa(void* device, uint32_t handle, struct cygnet_reading* reading) {
  const int32_t result = real->packet->read(device, handle, reading);
  if (mutant == 14) reading->replayed = 0;
  if (mutant == 17) reading->packets = 0;
  return mutant == 20 ? 0 : result;
}

static int32_t take_state(void* device, uint32_t handle, struct cygnet_reading* reading,
                          uint32_t* bitmap, uint32_t* words) {
  const int32_t result = real->packet->take_state(device, handle, reading, bitmap, words);
  if (mutant == 18 && result == 0) memset(bitmap, 0, *words * sizeof(*bitmap));
  return result;
}

static uint32_t take_erased(void* device, uint32_t* handles, uint32_t room) {
  return mutant == 19 ? 0 : real->take_erased(device, handles, room);
}

static uint32_t tx_burst(void* device, uint32_t queue, struct cygnet_packet* const* packets,
                         uint32_t n) {
  for (uint32_t i = 0; i < n && mutant == 2; ++i) packets[i]->status = CYGNET_PACKET_NONE;
  return real->tx_burst(device, queue, packets, n);
}

static uint32_t rx_burst(void* device, uint32_t queue, struct cygnet_packet** packets,
                         uint32_t room) {
  const uint32_t n = real->rx_burst(device, queue, packets, room);
  for (uint32_t i = 0; i < n; ++i) {
    struct cygnet_packet* p = packets[i];
    if (p->status != CYGNET_PACKET_DECAPSULATED) continue;
    if (mutant == 11) ++p->sa_number;
    if (mutant == 12) p->buffer[p->head + p->length - 1] ^= 1;
  }
  return n;
}

CYGNET_EXPORT const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  typedef const struct cygnet_driver* (*entry_function)(uint32_t);
  void* library = dlopen(SIM_NIC_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == NULL ? NULL : dlsym(library, "cygnet_driver_entry");
  entry_function entry;
  if (symbol == NULL) return NULL;
  memcpy(&entry, &symbol, sizeof(entry));
  real = entry(host_abi);
  if (real == NULL) return NULL;
  mutated = *real;
  mutated.open = open_device;
  mutated.install_sa = install;
  mutated.take_erased = take_erased;
  mutated.tx_burst = tx_burst;
  mutated.rx_burst = rx_burst;
  packet = *real->packet;
  packet.add_policy = add_policy;
  packet.remove_policy = remove_policy;
  packet.grant = grant;
  packet.set_limits = set_limits;
  packet.read = read_sa;
  packet.take_state = take_state;
  packet.take_events = take_events;
  mutated.packet = &packet;
  return &mutated;
}
