/* Libraries that are not drivers of this version: BAD_VERSION, BAD_MEMBERS or BAD_ENTRY. */
#include <cygnet/driver.h>

#ifdef BAD_ENTRY
const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  (void)host_abi;
  return 0;
}
#else
static const struct cygnet_driver kDriver = {
#ifdef BAD_VERSION
    .abi = CYGNET_ABI + 1,
#else
    .abi = CYGNET_ABI,
#endif
    .size = sizeof(kDriver),
    .name = "bad_driver",
    .version = "1.0",
    .vendor = "test",
};

const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  (void)host_abi;
  return &kDriver;
}
#endif
