/* The parts of soft_driver: table.c has the SAs, packets.c what happens to packets, soft_driver.c
 * the rest. */
#ifndef SOFT_DRIVER_SOFT_H
#define SOFT_DRIVER_SOFT_H

#include <cygnet/driver.h>
#include <pthread.h>

#include "gcm.h"

#define MAX_SLOTS 4096u
#define MAX_QUEUES 16u
#define RETURN_RING 2048u

struct sa {
  uint32_t handle; /* 0: the slot is free */
  uint32_t half;
  uint32_t spi;
  int matches; /* between start and stop */
  struct cygnet_address daddr;
  struct gcm gcm;
  uint64_t highest; /* inbound */
  uint32_t window;
};

/* Packets that are handed back; used by one worker. */
struct returned {
  struct cygnet_packet* packets[RETURN_RING];
  uint32_t first, count;
};

struct soft {
  const struct cygnet_driver_host* services;
  pthread_mutex_t lock; /* for one burst, or one change */
  uint32_t slots;       /* of each direction */
  struct sa* sas;       /* 2 * slots */
  uint16_t* counts;     /* for each slot: in its handles */
  uint32_t* erased;
  uint32_t erased_count, erased_room;
  int down;
  struct cygnet_driver_stats stats;
  struct cygnet_caps caps;
  char serial[64];
  struct returned returned[MAX_QUEUES];
};

/* --- table.c --- */
int32_t refuse(struct cygnet_refusal* refusal, uint32_t kind, int32_t code, const char* text);
int make_sa(const struct cygnet_sa* from, struct sa* to);
/* These require the lock. */
struct sa* find(struct soft* s, uint32_t handle);
struct sa* find_arriving(struct soft* s, uint32_t spi, const struct cygnet_address* daddr);
int lost_by_reset(const struct soft* s, uint32_t handle);
void erase(struct soft* s, struct sa* sa);

void soft_ring(struct soft* s);
int32_t soft_install(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                     struct cygnet_refusal* refusal);
void soft_start(void* device, uint32_t handle);
void soft_stop(void* device, uint32_t handle);
void soft_release(void* device, uint32_t handle);
uint32_t soft_take_erased(void* device, uint32_t* handles, uint32_t room);
void soft_advance_esn(void* device, uint32_t handle, uint64_t highest);

/* --- packets.c --- */
void soft_eligible(void* device, struct cygnet_packet* const* packets, uint32_t n,
                   uint8_t* eligible);
uint32_t soft_tx(void* device, uint32_t queue, struct cygnet_packet* const* packets, uint32_t n);
uint32_t soft_rx(void* device, uint32_t queue, struct cygnet_packet** packets, uint32_t room);
int soft_wait_fd(void* device, uint32_t queue);
int32_t soft_prepare_wait(void* device, uint32_t queue);
void soft_finish_wait(void* device, uint32_t queue);
int32_t soft_loop(void* device, const struct cygnet_sa* from, struct cygnet_packet* const* packets,
                  uint32_t n, const char** reasons);

#endif
