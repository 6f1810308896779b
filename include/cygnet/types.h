/* What the two plug-in interfaces of Cygnet share: cygnet/driver.h (network devices that do ESP
 * cryptography) and cygnet/engine.h (crypto engines). C11 and C++; needs no library.
 *
 * Rules for every struct and function of both interfaces:
 * - Versions. A plug-in is loaded if its `abi` is CYGNET_ABI. Changes that old plug-ins survive do
 *   not raise it: structs grow at their end only. Each struct that may grow begins with `size`, the
 *   sizeof of whoever made it. Its reader reads and writes no member behind it (CYGNET_HAS). A
 *   function pointer that is missing or NULL means "not supported", where its comment says
 *   "Optional"; a missing required one is a refusal that names it.
 * - Integers are in host byte order, addresses in network order.
 * - Enumerations are constants; the members that hold them have types of fixed size. A value that
 *   is not in the enumeration breaks the contract.
 * - Errors. A function that returns int32_t returns 0, or a negative errno (-EOPNOTSUPP …), which
 *   is a refusal.
 * - Pointers to functions are never called after `close` or `destroy` of their object. No function
 *   throws, longjmps, forks, exits, or changes signal handlers.
 * - Texts are UTF-8 and end with a zero byte. They never contain a key.
 * - Keys. A key is valid during the call only. Whoever copies it wipes the copy when its use ends.
 */
#ifndef CYGNET_TYPES_H
#define CYGNET_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised by a change that old plug-ins do not survive. */
#define CYGNET_ABI 1u

/* True if the struct at `pointer` reaches to the end of `member`: its maker knew the member. */
#define CYGNET_HAS(type, pointer, member) \
  ((pointer)->size >= offsetof(type, member) + sizeof((pointer)->member))

/* For the entry function, so that it is visible under -fvisibility=hidden. */
#define CYGNET_EXPORT __attribute__((visibility("default")))

/* An IPv4 address uses the first four bytes; the others are zero. */
enum { CYGNET_IPV4 = 4, CYGNET_IPV6 = 6 };
struct cygnet_address {
  uint32_t family; /* CYGNET_IPV4, CYGNET_IPV6; 0: no address */
  uint8_t bytes[16];
};

/* Microseconds. A worker's call (tx_burst, rx_burst, submit, poll) with 64 small packets that takes
 * longer has waited, whatever it waited for. `cygnet conformance` wants three of four calls within
 * this time: the machine may take the CPU away from one. */
#define CYGNET_PROMPT_US 2000u

/* Key material. Valid during the call only. */
struct cygnet_key {
  const uint8_t* data;
  uint32_t length;
};

enum { CYGNET_AEAD = 0, CYGNET_CIPHER = 1, CYGNET_AUTH = 2 };

/* One algorithm of an SA or session, with its key. */
struct cygnet_algorithm {
  const char* name;      /* Linux's: "rfc4106(gcm(aes))"; NULL: no algorithm of this kind */
  struct cygnet_key key; /* including the salt, at its end */
  uint32_t salt_bytes;   /* of the key; 0: none */
  uint32_t iv_bytes;     /* of the packet, in front of the text */
  uint32_t icv_bytes;    /* of the packet, behind the text; 0: makes none */
};

/* What an object reports about itself, as a boundary list names it (cygnet-fips(7)). NULL and "":
 * unknown. The texts are valid until the object is closed. */
struct cygnet_identity {
  uint32_t size;      /* set by the host */
  uint32_t simulated; /* 1: software, whose keys stay in this host's memory */
  const char* model;
  const char* serial;
  const char* version; /* of the firmware or implementation */
};

/* Why a call was refused. The host sets `size` and zeroes the rest; the plug-in fills it before it
 * returns a negative errno. */
enum {
  CYGNET_REFUSED = 0,            /* `text` tells why */
  CYGNET_REFUSED_TABLE_FULL = 1, /* no free slot */
  CYGNET_REFUSED_ADDRESS_TABLE_FULL = 2,
  CYGNET_REFUSED_DOWN = 3, /* the object is not up */
};
#define CYGNET_TEXT_BYTES 256
struct cygnet_refusal {
  uint32_t size;
  uint32_t kind;
  char text[CYGNET_TEXT_BYTES]; /* for operators: what is wrong and what to do */
};

/* One "key=value" of the configuration. Valid during the call only. */
struct cygnet_option {
  const char* key;
  const char* value; /* "" if the option has no "=" */
};

enum { CYGNET_LOG_ERROR = 3, CYGNET_LOG_WARNING = 4, CYGNET_LOG_INFO = 6, CYGNET_LOG_DEBUG = 7 };

/* What the host does for every plug-in. Valid as long as the object that it was given to; `context`
 * is the first argument of each function. Any thread may call them, threads of the plug-in's own
 * included. None of them waits for a packet or calls back into the plug-in. */
struct cygnet_host {
  uint32_t abi;  /* of the host */
  uint32_t size; /* sizeof(struct cygnet_host) of the host */
  void* context;
  /* A line for the daemon's log, which names the object. Not for single packets: the host drops
   * lines above a rate. */
  void (*log)(void* context, uint32_t level, const char* text);
  /* Rings the bell: the control thread looks at the object soon, in its own time. Cheap. */
  void (*ring)(void* context);
  /* Nanoseconds that do not jump (CLOCK_MONOTONIC), and seconds since 1970. Under test they may be
   * made up: a plug-in takes its time from here. */
  uint64_t (*monotonic_ns)(void* context);
  uint64_t (*wall_seconds)(void* context);
};

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CYGNET_TYPES_H */
