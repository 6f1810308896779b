/* A driver with a thread of its own for tests of isolation: it passes every frame on as a packet of
 * its own, in both directions. The option behave=WORD makes it break the contract. */
#include <cygnet/driver.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kQueued = 128 };

struct device {
  const struct cygnet_driver_host* services;
  char behave[32];
  pthread_t thread;
  atomic_int stop;
  pthread_mutex_t lock;
  struct cygnet_packet* up[kQueued];
  uint32_t count;
  atomic_int installed;
};

static int behaves(const struct device* d, const char* word) {
  return strcmp(d->behave, word) == 0;
}

/* A copy in a packet of the driver's own; the frame goes back. NULL: there are no packets. */
static struct cygnet_packet* copy(struct device* d, struct cygnet_packet* from) {
  void* context = d->services->host->context;
  struct cygnet_packet* to = NULL;
  if (d->services->packet_alloc(context, &to, 1) != 1) {
    d->services->packet_drop(context, &from, 1, "no-buffers");
    return NULL;
  }
  memcpy(to->buffer + to->head, from->buffer + from->head, from->length);
  to->length = from->length;
  to->l3_offset = from->l3_offset;
  to->status = CYGNET_PACKET_NONE;
  d->services->packet_free(context, &from, 1);
  return to;
}

static void break_contract(struct device* d, struct cygnet_packet* p) {
  void* context = d->services->host->context;
  struct cygnet_packet nobody = {0};
  struct cygnet_packet* pointer = &nobody;
  if (behaves(d, "crash")) raise(SIGSEGV);
  if (behaves(d, "twice")) d->services->packet_free(context, &p, 1);
  if (behaves(d, "foreign")) d->services->packet_free(context, &pointer, 1);
  if (behaves(d, "long")) p->length = 100000;
  if (behaves(d, "wire")) d->services->wire_send(context, 9, &p, 1);
}

static void* run(void* argument) {
  struct device* d = argument;
  const struct cygnet_driver_host* s = d->services;
  void* context = s->host->context;
  while (!atomic_load(&d->stop)) {
    struct cygnet_packet* packets[CYGNET_BURST];
    uint32_t n = s->wire_receive(context, 0, packets, CYGNET_BURST);
    for (uint32_t i = 0; i < n; ++i) {
      break_contract(d, packets[i]);
      struct cygnet_packet* p = behaves(d, "long") ? packets[i] : copy(d, packets[i]);
      if (p == NULL) continue;
      pthread_mutex_lock(&d->lock);
      if (d->count < kQueued) {
        d->up[d->count++] = p;
      } else {
        s->packet_drop(context, &p, 1, "port-full");
      }
      pthread_mutex_unlock(&d->lock);
    }
    if (n > 0) continue;
    if (s->wire_prepare_wait(context, 0) == 1) {
      struct pollfd wait = {.fd = s->wire_wait_fd(context, 0), .events = POLLIN};
      poll(&wait, 1, 20);
    }
    s->wire_finish_wait(context, 0);
  }
  return NULL;
}

static int32_t driver_open(const struct cygnet_driver_open* params, void** device,
                           struct cygnet_refusal* refusal) {
  (void)refusal;
  struct device* d = calloc(1, sizeof(*d));
  d->services = params->services;
  pthread_mutex_init(&d->lock, NULL);
  for (uint32_t i = 0; i < params->option_count; ++i) {
    strncpy(d->behave, params->options[i].value, sizeof(d->behave) - 1);
  }
  if (pthread_create(&d->thread, NULL, run, d) != 0) return -EAGAIN;
  *device = d;
  return 0;
}

static void driver_close(void* device) {
  struct device* d = device;
  atomic_store(&d->stop, 1);
  pthread_join(d->thread, NULL);
  if (d->count > 0) d->services->packet_free(d->services->host->context, d->up, d->count);
  free(d);
}

static const struct cygnet_caps* caps(void* device) {
  static const struct cygnet_algorithm_caps gcm = {
      .name = "rfc4106(gcm(aes))", .key_bytes = {16, 24, 32}, .icv_bytes = {8, 12, 16}};
  static const struct cygnet_caps seals = {
      .size = sizeof(seals), .algorithms = &gcm, .algorithm_count = 1};
  static const struct cygnet_caps none = {.size = sizeof(none)};
  return behaves(device, "state") ? &seals : &none;
}
static void identity(void* device, struct cygnet_identity* out) {
  (void)device;
  out->model = "thread";
}
static void status(void* device, struct cygnet_status* out) {
  struct device* d = device;
  out->state = atomic_load(&d->installed) ? 99 : CYGNET_STATE_UP;
}
static void stats(void* device, struct cygnet_driver_stats* out) {
  (void)device;
  (void)out;
}
static int32_t install(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                       struct cygnet_refusal* refusal) {
  (void)sa, (void)refusal;
  struct device* d = device;
  if (!behaves(d, "state")) return -EOPNOTSUPP;
  *handle = 5;
  atomic_store(&d->installed, 1);
  return 0;
}
static void ignore(void* device, uint32_t handle) { (void)device, (void)handle; }
static uint32_t erased(void* device, uint32_t* handles, uint32_t room) {
  (void)device, (void)handles, (void)room;
  return 0;
}

static uint32_t tx(void* device, uint32_t queue, struct cygnet_packet* const* packets, uint32_t n) {
  struct device* d = device;
  (void)queue;
  if (behaves(d, "loop-tx")) {
    for (volatile uint32_t i = 0;; ++i) continue;
  }
  if (behaves(d, "hold")) return n;
  for (uint32_t i = 0; i < n; ++i) {
    struct cygnet_packet* p = packets[i];
    d->services->wire_send(d->services->host->context, 0, &p, 1);
  }
  return n;
}

static uint32_t rx(void* device, uint32_t queue, struct cygnet_packet** packets, uint32_t room) {
  struct device* d = device;
  (void)queue;
  pthread_mutex_lock(&d->lock);
  uint32_t n = d->count < room ? d->count : room;
  memcpy(packets, d->up, n * sizeof(*packets));
  d->count -= n;
  memmove(d->up, d->up + n, d->count * sizeof(*packets));
  pthread_mutex_unlock(&d->lock);
  return n;
}

static int wait_fd(void* device, uint32_t queue) {
  (void)device, (void)queue;
  return -1;
}
/* Without a descriptor of its own it cannot sleep. */
static int32_t prepare(void* device, uint32_t queue) {
  (void)device, (void)queue;
  return 0;
}
static void finish(void* device, uint32_t queue) { (void)device, (void)queue; }

static const struct cygnet_driver table = {
    .abi = CYGNET_ABI,
    .size = sizeof(table),
    .name = "thread",
    .version = "1",
    .vendor = "Tests",
    .wire = CYGNET_WIRE_ONE,
    .open = driver_open,
    .close = driver_close,
    .caps = caps,
    .identity = identity,
    .status = status,
    .stats = stats,
    .install_sa = install,
    .start_sa = ignore,
    .stop_sa = ignore,
    .release_sa = ignore,
    .take_erased = erased,
    .tx_burst = tx,
    .rx_burst = rx,
    .wait_fd = wait_fd,
    .prepare_wait = prepare,
    .finish_wait = finish,
};

const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &table : NULL;
}
