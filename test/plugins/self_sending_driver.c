/* A driver that sends by itself, and nowhere: it counts the frames that it is given. */
#include <cygnet/driver.h>

#define cygnet_driver_entry null_driver_entry
#include "../../examples/null_driver/null_driver.c"
#undef cygnet_driver_entry

static struct cygnet_driver_stats g_given; /* of the last device that was opened */

static int32_t sending_open(const struct cygnet_driver_open* params, void** device,
                            struct cygnet_refusal* refusal) {
  memset(&g_given, 0, sizeof(g_given));
  return null_open(params, device, refusal);
}

static void sending_stats(void* device, struct cygnet_driver_stats* stats) {
  (void)device;
  const uint32_t size = stats->size;
  *stats = g_given;
  stats->size = size;
}

static void sending_port(void* device, struct cygnet_port* port) {
  (void)device;
  port->mtu = 1500;
  port->link_up = 1;
}

static uint32_t sending_tx(void* device, uint32_t queue, struct cygnet_packet* const* packets,
                           uint32_t n) {
  struct null_device* d = device;
  (void)queue;
  for (uint32_t i = 0; i < n; ++i) {
    ++g_given.tx_packets;
    g_given.tx_bytes += packets[i]->length;
    if (packets[i]->status == CYGNET_PACKET_SEAL_REQUESTED) ++g_given.sealed;
  }
  d->services->packet_free(context_of(device), packets, n);
  return n;
}

static uint32_t sending_rx(void* device, uint32_t queue, struct cygnet_packet** packets,
                           uint32_t room) {
  (void)device;
  (void)queue;
  (void)packets;
  (void)room;
  return 0;
}

static int sending_wait_fd(void* device, uint32_t queue) {
  (void)device;
  (void)queue;
  return -1;
}

static int32_t sending_prepare(void* device, uint32_t queue) {
  (void)device;
  (void)queue;
  return 1;
}

static void sending_finish(void* device, uint32_t queue) {
  (void)device;
  (void)queue;
}

const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  static struct cygnet_driver driver;
  const struct cygnet_driver* base = null_driver_entry(host_abi);
  if (base == NULL) return NULL;
  driver = *base;
  driver.name = "self_sending_driver";
  driver.wire = CYGNET_WIRE_NONE;
  driver.open = sending_open;
  driver.stats = sending_stats;
  driver.port = sending_port;
  driver.tx_burst = sending_tx;
  driver.rx_burst = sending_rx;
  driver.wait_fd = sending_wait_fd;
  driver.prepare_wait = sending_prepare;
  driver.finish_wait = sending_finish;
  return &driver;
}
