/* null_driver: the least that a driver has. It offloads nothing and passes frames between the
 * workers and the host's wire. Begin here. */
#include <cygnet/driver.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct null_device {
  const struct cygnet_driver_host* services;
  uint64_t refusals;
};

static void* context_of(void* device) {
  return ((struct null_device*)device)->services->host->context;
}

static int32_t null_open(const struct cygnet_driver_open* params, void** device,
                         struct cygnet_refusal* refusal) {
  struct null_device* d = calloc(1, sizeof(*d));
  if (d == NULL) {
    strncpy(refusal->text, "out of memory", sizeof(refusal->text) - 1);
    return -ENOMEM;
  }
  d->services = params->services;
  *device = d;
  return 0;
}

static void null_close(void* device) { free(device); }

/* Names nothing: the host never asks for anything. */
static const struct cygnet_caps* null_caps(void* device) {
  static const struct cygnet_caps caps = {.size = sizeof(caps)};
  (void)device;
  return &caps;
}

static void null_identity(void* device, struct cygnet_identity* identity) {
  (void)device;
  identity->simulated = 1;
  identity->model = "null_driver";
  identity->version = "1.0";
}

static void null_status(void* device, struct cygnet_status* status) {
  (void)device;
  status->state = CYGNET_STATE_UP;
}

static void null_stats(void* device, struct cygnet_driver_stats* stats) {
  stats->refusals = ((struct null_device*)device)->refusals;
}

static int32_t null_install(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                            struct cygnet_refusal* refusal) {
  (void)sa;
  (void)handle;
  ++((struct null_device*)device)->refusals;
  strncpy(refusal->text, "null_driver offloads nothing", sizeof(refusal->text) - 1);
  return -EOPNOTSUPP;
}

static void null_ignore(void* device, uint32_t handle) {
  (void)device;
  (void)handle;
}

static uint32_t null_erased(void* device, uint32_t* handles, uint32_t room) {
  (void)device;
  (void)handles;
  (void)room;
  return 0;
}

static uint32_t null_tx(void* device, uint32_t queue, struct cygnet_packet* const* packets,
                        uint32_t n) {
  struct null_device* d = device;
  d->services->wire_send(context_of(device), queue, packets, n);
  return n;
}

static uint32_t null_rx(void* device, uint32_t queue, struct cygnet_packet** packets,
                        uint32_t room) {
  struct null_device* d = device;
  return d->services->wire_receive(context_of(device), queue, packets, room);
}

static int null_wait_fd(void* device, uint32_t queue) {
  struct null_device* d = device;
  return d->services->wire_wait_fd(context_of(device), queue);
}

static int32_t null_prepare(void* device, uint32_t queue) {
  struct null_device* d = device;
  return d->services->wire_prepare_wait(context_of(device), queue);
}

static void null_finish(void* device, uint32_t queue) {
  struct null_device* d = device;
  d->services->wire_finish_wait(context_of(device), queue);
}

static const struct cygnet_driver kDriver = {
    .abi = CYGNET_ABI,
    .size = sizeof(kDriver),
    .name = "null_driver",
    .version = "1.0",
    .vendor = "Cygnet (example)",
    .wire = CYGNET_WIRE_EACH,
    .open = null_open,
    .close = null_close,
    .caps = null_caps,
    .identity = null_identity,
    .status = null_status,
    .stats = null_stats,
    .install_sa = null_install,
    .start_sa = null_ignore,
    .stop_sa = null_ignore,
    .release_sa = null_ignore,
    .take_erased = null_erased,
    .tx_burst = null_tx,
    .rx_burst = null_rx,
    .wait_fd = null_wait_fd,
    .prepare_wait = null_prepare,
    .finish_wait = null_finish,
};

const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &kDriver : NULL;
}
