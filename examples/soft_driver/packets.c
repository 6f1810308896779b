/* What happens to packets. */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "soft.h"

static uint8_t* frame(const struct cygnet_packet* p) { return p->buffer + p->head; }

static uint32_t load32(const uint8_t* at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* IPv4 without options, and IPv6 without extension headers, as cards do. */
void soft_eligible(void* device, struct cygnet_packet* const* packets, uint32_t n,
                   uint8_t* eligible) {
  (void)device;
  for (uint32_t i = 0; i < n; ++i) {
    const struct cygnet_packet* p = packets[i];
    uint32_t header = (uint32_t)p->esp_offset - p->l3_offset;
    eligible[i] = header == (frame(p)[p->l3_offset] >> 4 == 4 ? 20u : 40u);
  }
}

enum fate { SEND, HAND_BACK, DROP };

static enum fate seal(struct soft* s, struct cygnet_packet* p) {
  struct sa* sa = find(s, p->handle);
  if (s->down || (sa == NULL && lost_by_reset(s, p->handle))) return HAND_BACK;
  if (sa == NULL || sa->half != CYGNET_OUTBOUND || p->esp_offset > p->length ||
      !gcm_seal(&sa->gcm, frame(p) + p->esp_offset, p->length - p->esp_offset, p->esn_high)) {
    ++s->stats.dropped_stale;
    return DROP;
  }
  p->status = CYGNET_PACKET_SEALED;
  ++s->stats.sealed;
  return SEND;
}

static int hand_back(struct soft* s, uint32_t queue, struct cygnet_packet* p) {
  struct returned* r = &s->returned[queue];
  if (r->count == RETURN_RING) return 0;
  p->status = CYGNET_PACKET_RETURNED;
  r->packets[(r->first + r->count++) % RETURN_RING] = p;
  ++s->stats.returned;
  return 1;
}

uint32_t soft_tx(void* device, uint32_t queue, struct cygnet_packet* const* packets, uint32_t n) {
  struct soft* s = device;
  void* context = s->services->host->context;
  struct cygnet_packet* out[CYGNET_BURST];
  uint32_t count = 0;
  pthread_mutex_lock(&s->lock);
  for (uint32_t i = 0; i < n; ++i) {
    struct cygnet_packet* p = packets[i];
    enum fate fate = p->status == CYGNET_PACKET_SEAL_REQUESTED ? seal(s, p) : SEND;
    if (fate == HAND_BACK && !hand_back(s, queue, p)) fate = DROP;
    if (fate == SEND) out[count++] = p;
    if (fate == DROP) s->services->packet_drop(context, &p, 1, "out-device-error");
  }
  pthread_mutex_unlock(&s->lock);
  if (count > 0) s->services->wire_send(context, queue, out, count);
  return n;
}

/* Offset of the ESP header from the start of the frame, and its length; 0: not ESP, or a fragment.
 * Nothing is believed before it is compared with the length of the frame. */
static uint32_t find_esp(const struct cygnet_packet* p, struct cygnet_address* daddr,
                         uint32_t* length) {
  const uint8_t* ip = frame(p) + p->l3_offset;
  const uint32_t room = p->length - p->l3_offset;
  uint32_t header = 0, total = 0;
  memset(daddr, 0, sizeof(*daddr));
  if (p->l3_offset < 14 || room < 20) return 0;
  const uint32_t type = (uint32_t)ip[-2] << 8 | ip[-1];
  if (type == 0x0800 && ip[0] >> 4 == 4 && ip[9] == 50 && (load32(ip + 4) & 0x3fffu) == 0) {
    header = (ip[0] & 15u) * 4u;
    total = (uint32_t)ip[2] << 8 | ip[3];
    daddr->family = CYGNET_IPV4;
    memcpy(daddr->bytes, ip + 16, 4);
  } else if (type == 0x86dd && room >= 40 && ip[0] >> 4 == 6 && ip[6] == 50) {
    header = 40;
    total = 40u + ((uint32_t)ip[4] << 8 | ip[5]);
    daddr->family = CYGNET_IPV6;
    memcpy(daddr->bytes, ip + 24, 16);
  }
  if (header < 20 || total > room || total < header + 8) return 0;
  *length = total - header;
  return p->l3_offset + header;
}

/* RFC 4303, appendix A2.2: the number nearest to the window. */
static uint64_t infer(uint32_t low, uint64_t highest, uint32_t window) {
  const uint32_t top = (uint32_t)highest;
  const uint64_t high = highest >> 32;
  const uint32_t bottom = top - (window > 0 ? window - 1 : 0);
  if (top >= (window > 0 ? window - 1 : 0)) return (low >= bottom ? high : high + 1) << 32 | low;
  return (low >= bottom && high > 0 ? high - 1 : high) << 32 | low;
}

static void open_one(struct soft* s, struct cygnet_packet* p) {
  struct cygnet_address daddr;
  uint32_t length = 0;
  p->status = CYGNET_PACKET_NONE;
  if (s->down || (p->flags & CYGNET_PACKET_CSUM_PARTIAL) != 0) return;
  const uint32_t esp = find_esp(p, &daddr, &length);
  if (esp == 0) return;
  struct sa* sa = find_arriving(s, load32(frame(p) + esp), &daddr);
  if (sa == NULL) {
    ++s->stats.passed_unknown;
    return;
  }
  if (!gcm_has_room(&sa->gcm, length)) return;
  const uint32_t low = load32(frame(p) + esp + 4);
  const uint64_t number = sa->gcm.esn ? infer(low, sa->highest, sa->window) : low;
  p->handle = sa->handle;
  p->esn_high = (uint32_t)(number >> 32);
  if (gcm_open(&sa->gcm, frame(p) + esp, length, p->esn_high)) {
    p->status = CYGNET_PACKET_OPENED;
    ++s->stats.opened;
    if (number > sa->highest) sa->highest = number;
  } else {
    p->status = CYGNET_PACKET_AUTH_FAILED;
    ++s->stats.auth_failed;
  }
}

uint32_t soft_rx(void* device, uint32_t queue, struct cygnet_packet** packets, uint32_t room) {
  struct soft* s = device;
  struct returned* r = &s->returned[queue];
  uint32_t n = 0;
  for (; r->count > 0 && n < room; --r->count, ++n) {
    packets[n] = r->packets[r->first];
    r->first = (r->first + 1) % RETURN_RING;
  }
  const uint32_t before = n;
  if (n < room) {
    n += s->services->wire_receive(s->services->host->context, queue, packets + n, room - n);
  }
  pthread_mutex_lock(&s->lock);
  for (uint32_t i = before; i < n; ++i) open_one(s, packets[i]);
  pthread_mutex_unlock(&s->lock);
  return n;
}

int soft_wait_fd(void* device, uint32_t queue) {
  struct soft* s = device;
  return s->services->wire_wait_fd(s->services->host->context, queue);
}

int32_t soft_prepare_wait(void* device, uint32_t queue) {
  struct soft* s = device;
  int32_t idle = s->services->wire_prepare_wait(s->services->host->context, queue);
  return idle && s->returned[queue].count == 0;
}

void soft_finish_wait(void* device, uint32_t queue) {
  struct soft* s = device;
  s->services->wire_finish_wait(s->services->host->context, queue);
}

int32_t soft_loop(void* device, const struct cygnet_sa* from, struct cygnet_packet* const* packets,
                  uint32_t n, const char** reasons) {
  struct soft* s = device;
  struct sa sa;
  pthread_mutex_lock(&s->lock);
  const int down = s->down;
  pthread_mutex_unlock(&s->lock);
  if (down) return -ENETDOWN;
  int32_t result = make_sa(from, &sa) ? 0 : -EOPNOTSUPP;
  for (uint32_t i = 0; result == 0 && i < n; ++i) {
    struct cygnet_packet* p = packets[i];
    struct cygnet_address daddr;
    uint32_t length = 0;
    if (sa.half == CYGNET_OUTBOUND) {
      int sealed = p->esp_offset <= p->length && gcm_seal(&sa.gcm, frame(p) + p->esp_offset,
                                                          p->length - p->esp_offset, p->esn_high);
      p->status = sealed ? CYGNET_PACKET_SEALED : CYGNET_PACKET_ERROR;
      reasons[i] = sealed ? NULL : "out-device-error";
      continue;
    }
    const uint32_t esp = find_esp(p, &daddr, &length);
    p->status = CYGNET_PACKET_NONE;
    if (esp == 0 || !gcm_has_room(&sa.gcm, length)) continue;
    const uint64_t number = infer(load32(frame(p) + esp + 4), sa.highest, sa.window);
    p->esn_high = sa.gcm.esn ? (uint32_t)(number >> 32) : 0;
    p->status = gcm_open(&sa.gcm, frame(p) + esp, length, p->esn_high) ? CYGNET_PACKET_OPENED
                                                                       : CYGNET_PACKET_AUTH_FAILED;
  }
  OPENSSL_cleanse(&sa, sizeof(sa));
  return result;
}
