/* null_driver, with a fault where nothing of the library may be trusted yet: FAULT_…. */
#define cygnet_driver_entry null_driver_entry
#include "../../examples/null_driver/null_driver.c"
#undef cygnet_driver_entry
#include <unistd.h>

__attribute__((unused)) static volatile uint32_t* volatile nowhere; /* the compiler does not know that it is NULL */

#ifdef FAULT_CONSTRUCTOR
__attribute__((constructor)) static void crash(void) { *nowhere = 1; }
#endif

#ifdef FAULT_LEAVE
/* Ends the process as if all was well: in the constructor, in the entry or in open. */
#include <stdlib.h>
#include <string.h>
static void leave_in(const char* place) {
  const char* where = getenv("CYGNET_TEST_LEAVE_IN");
  if (where != NULL && strcmp(where, place) == 0) _exit(0);
}
__attribute__((constructor)) static void leave_in_constructor(void) { leave_in("dlopen"); }
static int32_t leave_in_open(const struct cygnet_driver_open* params, void** device,
                             struct cygnet_refusal* refusal) {
  leave_in("open");
  return null_open(params, device, refusal);
}
static void leave_in_close(void* device) {
  leave_in("close");
  null_close(device);
}
#endif

#ifdef FAULT_CALL
/* A system call that an isolated plug-in may not make: in open with the option "in=open", else in
 * tx_burst. */
#include <sys/personality.h>
static int32_t open_or_call(const struct cygnet_driver_open* params, void** device,
                            struct cygnet_refusal* refusal) {
  if (params->option_count > 0) (void)personality(0xffffffff);
  return null_open(params, device, refusal);
}
static uint32_t call_in_tx(void* device, uint32_t queue, struct cygnet_packet* const* packets,
                           uint32_t n) {
  (void)personality(0xffffffff);
  return null_tx(device, queue, packets, n);
}
#endif

#ifdef FAULT_OPEN
static int32_t crash_in_open(const struct cygnet_driver_open* params, void** device,
                             struct cygnet_refusal* refusal) {
  *nowhere = 1;
  return null_open(params, device, refusal);
}
#endif

#ifdef FAULT_COUNT
static const struct cygnet_caps* wild_caps(void* device) {
  static struct cygnet_caps caps;
  caps = *null_caps(device);
  caps.algorithms = (const struct cygnet_algorithm_caps*)&caps;
  caps.algorithm_count = UINT32_MAX;
  return &caps;
}
#endif

#ifdef FAULT_POINTER
static const struct cygnet_caps* wild_caps(void* device) {
  static struct cygnet_caps caps;
  caps = *null_caps(device);
  caps.algorithms = (const struct cygnet_algorithm_caps*)16;
  caps.algorithm_count = 1;
  return &caps;
}
#endif

CYGNET_EXPORT const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  static struct cygnet_driver driver;
  driver = *null_driver_entry(host_abi);
#ifdef FAULT_LOOP
  while (nowhere == NULL) {
  }
#endif
#ifdef FAULT_EXIT
  _exit(7);
#endif
#ifdef FAULT_LEAVE
  leave_in("cygnet_driver_entry");
  driver.open = leave_in_open;
  driver.close = leave_in_close;
#endif
#ifdef FAULT_CALL
  driver.open = open_or_call;
  driver.tx_burst = call_in_tx;
#endif
#ifdef FAULT_OPEN
  driver.open = crash_in_open;
#endif
#if defined(FAULT_COUNT) || defined(FAULT_POINTER)
  driver.caps = wild_caps;
#endif
  return &driver;
}
