/* Drivers of network devices that do ESP cryptography, as shared libraries. The page
 * doc/offload_contract.md of Cygnet says the same in longer words; both are one contract.
 *
 * A library exports cygnet_driver_entry. cygnetd loads it for a device whose configuration has
 *   driver = "plugin"
 *   plugin = "/usr/lib/cygnet/libmycard.so"
 *   plugin_options = ["port=0", "firmware=/lib/firmware/mycard"]
 * `cygnet conformance --driver ./libmycard.so` checks what this page promises, without a daemon.
 *
 * Threads and rates, used in the comments below:
 * - control: one thread. Rare; but InstallSa may come by the thousand, when an IKE daemon starts.
 *   A call may wait for the hardware for some milliseconds, never for a packet.
 * - worker: one thread for each queue. A call comes for each burst of up to CYGNET_BURST packets,
 *   millions of times a second. It never waits (CYGNET_PROMPT_US), allocates memory, logs, or takes
 *   a lock that a control call holds for long.
 * - any: control, a worker, or another thread of the host, at the same time as every other call.
 * A driver may have threads of its own.
 *
 * Whoever breaks the contract (a handle twice, a packet given back that the driver does not own, a
 * length beyond the buffer, a status that does not exist …) has failed: the host logs what was
 * wrong, takes no more packets from the driver and gives it none, moves the SAs to the CPU where
 * they may run there, and calls nothing but `close`. An isolated driver loses its process instead.
 */
#ifndef CYGNET_DRIVER_H
#define CYGNET_DRIVER_H

#include <cygnet/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Packets in one call of tx_burst, rx_burst and the packet services. */
#define CYGNET_BURST 64u

/* --- Packets --- */

/* What host and device tell each other about one packet. */
enum {
  CYGNET_PACKET_NONE = 0, /* not touched by a device; outbound: send it as it is */
  /* Outbound: the device seals the packet with the SA `handle`, hands it back, or drops it. It
   * never sends the packet as it received it. */
  CYGNET_PACKET_SEAL_REQUESTED = 1,
  CYGNET_PACKET_SEALED = 2, /* outbound: sealed, by the device (for wire_send) or by software */
  CYGNET_PACKET_OPENED = 3, /* inbound: the ICV holds; ESP header, trailer and ICV remain */
  CYGNET_PACKET_AUTH_FAILED = 4, /* inbound: the ICV does not hold */
  CYGNET_PACKET_ERROR = 5,       /* inbound: the device could not decide */
  /* Outbound, handed back by rx_burst of the queue that it came from, its bytes and lengths
   * untouched: software seals it with the same number. For a packet whose SA the device has lost,
   * or while the device is not up. */
  CYGNET_PACKET_RETURNED = 6,
  /* Packet offload: */
  CYGNET_PACKET_PROTECT_REQUESTED = 7, /* outbound, in clear: to be protected by the SA `handle` */
  CYGNET_PACKET_RETURNED_CLEAR = 8,    /* handed back as RETURNED, in clear and without a number */
  CYGNET_PACKET_DECAPSULATED = 9,      /* inbound: opened, checked for replay, decapsulated */
  CYGNET_PACKET_MIRRORED = 10, /* inbound: a copy as it came of the next one, DECAPSULATED */
};

enum {
  /* Inbound from the host's wire: the transport checksum is not finished. Pass the packet up as it
   * is (NONE). */
  CYGNET_PACKET_CSUM_PARTIAL = 1u << 0,
};

/* One frame in a linear buffer. Headroom (head bytes before it) and tailroom are the host's, but a
 * device may use them for packet offload. The bytes have no alignment. The host allocates all of
 * them at start and keeps them; a pointer means the same packet as long as the device is open, and
 * so a driver may keep it while it owns the packet. Each packet has one owner. */
struct cygnet_packet {
  uint8_t* buffer;     /* host: constant */
  uint32_t capacity;   /* host: constant; of the buffer */
  uint32_t head;       /* offset of the first byte of the frame */
  uint32_t length;     /* of the frame; head + length <= capacity */
  uint32_t handle;     /* of the SA, by install_sa; with a status that names one */
  uint32_t esn_high;   /* high word of the sequence number: given to seal; set when opened */
  uint32_t sa_number;  /* packet offload: cygnet_sa.number; else the host's, to be kept */
  uint16_t l3_offset;  /* of the IP header, from the start of the frame; set by whoever received */
  uint16_t esp_offset; /* outbound, sealing: of the ESP header, from the start of the frame */
  uint8_t status;      /* CYGNET_PACKET_… */
  uint8_t flags;       /* host */
  uint8_t reserved[6];
  void* host;   /* the host's own */
  void* driver; /* the driver's own while it owns the packet */
};

/* --- Services of the host --- */

/* Valid from `open` to the return of `close`. `context` is host->context. Any thread, except as
 * said. A list has at most CYGNET_BURST packets. */
struct cygnet_driver_host {
  uint32_t size;
  uint32_t queues; /* of tx_burst and rx_burst: numbers 0 to queues - 1 */
  const struct cygnet_host* host;

  /* Takes packets for received frames; each is empty, with the host's headroom, and has room for a
   * frame of 2,226 bytes and its Ethernet header. If the host has packets for jumbo frames, and the
   * wire's MTU is larger or the driver has no wire of the host, the room is for 9,216 bytes:
   * `capacity` tells. Returns how many it got; fewer than `n`: count the frames that are lost as
   * rx_dropped. */
  uint32_t (*packet_alloc)(void* context, struct cygnet_packet** packets, uint32_t n);
  /* Gives packets back that were sent, or are not needed. */
  void (*packet_free)(void* context, struct cygnet_packet* const* packets, uint32_t n);
  /* Gives packets back that are lost. `reason`: a name that `cygnet stat` shows, as
   * "out-device-error", "in-auth-failed", "port-full", "port-down", "no-buffers". */
  void (*packet_drop)(void* context, struct cygnet_packet* const* packets, uint32_t n,
                      const char* reason);

  /* The host's wire: NULL unless cygnet_driver.wire asks for it. It is behind the seal guard:
   * frames of protected flows that are not sealed are stopped and counted, and a driver that tries
   * to send them is caught. Each queue of the wire is used by one thread. CYGNET_WIRE_ONE: queue 0,
   * by a thread of the driver's own. CYGNET_WIRE_EACH: queue q by the worker of queue q, inside
   * tx_burst, rx_burst and the wait functions. wire_send owns all packets afterwards. wire_receive
   * gives packets to the driver, up to `room`. */
  void (*wire_send)(void* context, uint32_t queue, struct cygnet_packet* const* packets,
                    uint32_t n);
  uint32_t (*wire_receive)(void* context, uint32_t queue, struct cygnet_packet** packets,
                           uint32_t room);
  /* As the driver's own functions of these names, for the wire. */
  int (*wire_wait_fd)(void* context, uint32_t queue);
  int32_t (*wire_prepare_wait)(void* context, uint32_t queue);
  void (*wire_finish_wait)(void* context, uint32_t queue);
};

/* Memory of the packets, for devices that must register it. */
struct cygnet_memory {
  void* base;
  size_t length;
};

/* What `open` receives. All pointers but `services` and `memory` are valid during the call only. */
struct cygnet_driver_open {
  uint32_t size;
  uint32_t option_count;
  const char* name; /* of the device, for operators */
  const char* wire; /* the interface that the configuration names; "": none */
  const struct cygnet_option* options;
  const struct cygnet_driver_host* services;
  const struct cygnet_memory* memory; /* valid while the device is open */
  uint32_t memory_count;
  uint32_t headroom; /* of a new packet */
};

/* --- Capabilities and facts --- */

enum { CYGNET_MODE_TRANSPORT = 1u << 0, CYGNET_MODE_TUNNEL = 1u << 1, CYGNET_MODE_BEET = 1u << 2 };
enum { CYGNET_FAMILY_IPV4 = 1u << 0, CYGNET_FAMILY_IPV6 = 1u << 1 };
enum {
  CYGNET_CAN_CRYPTO_OFFLOAD = 1u << 0,
  CYGNET_CAN_PACKET_OFFLOAD = 1u << 1, /* needs the table `packet` */
  CYGNET_CAN_INBOUND = 1u << 2,
  CYGNET_CAN_OUTBOUND = 1u << 3,
  CYGNET_CAN_ESN = 1u << 4,
  CYGNET_CAN_UDP_ENCAP = 1u << 5,
  CYGNET_CAN_PACKET_UDP_ENCAP = 1u << 6, /* UDP encapsulation with packet offload */
  CYGNET_CAN_INNER_CHECKSUM = 1u << 7,   /* shown only: the host does both itself */
  CYGNET_CAN_SEGMENTATION = 1u << 8,
};

/* One algorithm, or one part of a pair (cipher, authenticator), with its lengths in bytes. Unused
 * entries are 0. Keys without salt. */
struct cygnet_algorithm_caps {
  const char*
      name; /* Linux's: "rfc4106(gcm(aes))"; a name that the host does not know is ignored */
  uint16_t key_bytes[8];
  uint16_t icv_bytes[8];
};

/* Largest cygnet_caps.algorithm_count. */
#define CYGNET_MAX_ALGORITHMS 256u

/* What the device can do. What it does not name is not supported, and the host never asks for it.
 * Constant once `open` has returned; valid until `close`. */
struct cygnet_caps {
  uint32_t size;
  uint32_t can;      /* CYGNET_CAN_… */
  uint32_t modes;    /* CYGNET_MODE_… */
  uint32_t families; /* CYGNET_FAMILY_…, of the outer addresses */
  const struct cygnet_algorithm_caps* algorithms;
  uint32_t algorithm_count;
  uint32_t max_replay_window; /* of inbound SAs: the span over which it infers the ESN high word */
  uint32_t outbound_slots;    /* SAs of each direction; 0: not known */
  uint32_t inbound_slots;
  uint32_t addresses; /* distinct destinations of inbound SAs; 0: no limit */
  uint32_t reserved;
  const char* kernel_driver; /* shown as ethtool's driver; NULL: that of the interface */
};

enum {
  CYGNET_STATE_UP = 0,
  CYGNET_STATE_DOWN = 1,      /* the offload unit is stopped; frames pass, keys are held */
  CYGNET_STATE_LINK_DOWN = 2, /* no carrier: frames are dropped as "port-down"; keys are held */
  CYGNET_STATE_RESETTING = 3, /* tables and keys are gone: `resets` has risen */
  CYGNET_STATE_REMOVED = 4,   /* as by a reset, and frames are dropped */
  CYGNET_STATE_FAILED = 5,    /* firmware crashed: nobody knows whether keys are erased */
};

struct cygnet_status {
  uint32_t size;
  uint32_t state;  /* CYGNET_STATE_… */
  uint32_t resets; /* rises each time the device loses its tables: all earlier handles are void */
};

/* Facts of the interface of a device that sends by itself. */
struct cygnet_port {
  uint32_t size;
  uint32_t mtu; /* without the Ethernet header */
  uint8_t mac[6];
  uint8_t link_up;
  uint8_t reserved;
};

struct cygnet_driver_stats {
  uint32_t size;
  uint32_t outbound_used; /* SA slots */
  uint32_t inbound_used;
  uint32_t addresses_used;
  uint64_t sealed; /* packets */
  uint64_t opened;
  uint64_t auth_failed;
  uint64_t passed_unknown; /* inbound ESP without an SA in the table: passed up unchanged */
  uint64_t refusals;       /* SA adds refused */
  uint64_t dropped_stale;  /* outbound packets of unknown handles: never sent */
  uint64_t returned;       /* RETURNED and RETURNED_CLEAR */
  uint64_t resets;
  /* Of a device that sends by itself; the host counts its own wire. */
  uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
  uint64_t rx_dropped; /* lost before rx_burst */
};

/* --- SAs --- */

enum { CYGNET_OUTBOUND = 0, CYGNET_INBOUND = 1 };
enum { CYGNET_OFFLOAD_CRYPTO = 1, CYGNET_OFFLOAD_PACKET = 2 };
enum {
  CYGNET_SA_ESN = 1u << 0,
  CYGNET_SA_NO_ECN = 1u << 1, /* packet offload, from here: as XFRM's flags */
  CYGNET_SA_DECAP_DSCP = 1u << 2,
  CYGNET_SA_DONT_ENCAP_DSCP = 1u << 3,
  CYGNET_SA_NO_PMTU_DISC = 1u << 4,
};

#define CYGNET_UNLIMITED UINT64_MAX

/* Limits of bytes and packets that the device counts from 0. CYGNET_UNLIMITED: none. */
struct cygnet_limits {
  uint64_t soft_bytes, hard_bytes, soft_packets, hard_packets;
};

/* Sequence numbers, 64 bits wide, both ends included. Empty: first > last. */
struct cygnet_numbers {
  uint64_t first, last;
};

/* Flows by address prefixes, ports (host order, with masks) and protocol; 0 is any. */
struct cygnet_selector {
  struct cygnet_address saddr, daddr;
  uint8_t saddr_bits, daddr_bits;
  uint8_t family; /* CYGNET_IPV4, CYGNET_IPV6; 0: that of the flow */
  uint8_t proto;
  uint16_t sport, sport_mask, dport, dport_mask;
};

/* One half of an SA. Valid during the call only, with all that it points to. The arrays of packets
 * are built by the host in crypto offload: outer header, ESP header, IV, padding and trailer. */
struct cygnet_sa {
  uint32_t size;
  uint32_t half;    /* CYGNET_OUTBOUND, CYGNET_INBOUND */
  uint32_t offload; /* CYGNET_OFFLOAD_… */
  uint32_t mode;    /* one CYGNET_MODE_… */
  uint32_t flags;   /* CYGNET_SA_… */
  uint32_t spi;     /* host byte order */
  uint32_t reqid;
  uint32_t replay_window;
  struct cygnet_address saddr, daddr; /* outer */
  uint16_t udp_sport, udp_dport;      /* UDP encapsulation; 0: none */
  struct cygnet_algorithm aead;       /* name NULL: cipher and auth instead */
  struct cygnet_algorithm cipher, auth;
  uint64_t highest; /* inbound: highest authenticated number so far, with its high word */
  /* Packet offload: */
  struct cygnet_numbers numbers; /* may use (outbound) or accept (inbound) */
  uint64_t iv_mask;              /* outbound: the IV is the 64-bit number XOR this */
  uint32_t number;               /* for cygnet_packet.sa_number */
  uint32_t tfc_pad;
  struct cygnet_limits limits;
  struct cygnet_selector selector; /* of the inner flow */
};

/* Identity of an SA for operators. */
struct cygnet_sa_id {
  struct cygnet_address daddr;
  uint32_t spi;
  uint32_t half;
};

/* --- Packet offload --- */

enum { CYGNET_POLICY_ALLOW = 0, CYGNET_POLICY_BLOCK = 1 };

struct cygnet_template {
  struct cygnet_address saddr, daddr; /* family 0: any */
  uint32_t spi;                       /* 0: any */
  uint32_t reqid;                     /* 0: any */
  uint32_t mode;                      /* CYGNET_MODE_… */
  uint32_t optional;                  /* 1: "level use" */
};

/* The lowest priority number wins; of equal ones the policy that was added first. */
struct cygnet_policy {
  uint32_t size;
  uint32_t half; /* CYGNET_OUTBOUND, CYGNET_INBOUND */
  uint32_t action;
  uint32_t priority;
  struct cygnet_selector selector;
  const struct cygnet_template* templates;
  uint32_t template_count; /* 0 and ALLOW: passes in clear */
};

/* Counters of one half. Times are seconds since 1970. */
struct cygnet_reading {
  uint32_t size;
  uint32_t replayed;    /* inbound: dropped as seen before or older than the window */
  uint32_t auth_failed; /* inbound */
  uint32_t reserved;
  uint64_t packets, bytes;
  uint64_t highest;  /* outbound: last number used; inbound: highest accepted */
  uint64_t wanted;   /* inbound: highest authentic number seen, in the block or above it */
  uint64_t taken_at; /* when the device took this reading */
};

enum { CYGNET_EVENT_NUMBERS_LOW = 0, CYGNET_EVENT_SOFT_LIMIT = 1, CYGNET_EVENT_HARD_LIMIT = 2 };
struct cygnet_event {
  uint32_t handle;
  uint32_t kind;
};

/* All of it: control. A handle from before a reset is ignored, or refused with -ENOENT. Outbound
 * packets are PROTECT_REQUESTED: the device finds its own policy, and protects the packet in place
 * with the SA `handle` if the policy's template admits it; otherwise it drops the packet
 * ("out-device-policy"). It never sends such a packet in clear. Without a number it keeps a bounded
 * count of packets, in order, until `grant`. Inbound packets come up as DECAPSULATED. Numbers below
 * the block pass unchanged; authentic ones above it wait for `grant`, bounded in count. */
struct cygnet_packet_mode {
  uint32_t size;
  uint32_t reserved;
  /* Copies the policy. A reset empties the table. */
  int32_t (*add_policy)(void* device, const struct cygnet_policy* policy, uint32_t* handle,
                        struct cygnet_refusal* refusal);
  void (*remove_policy)(void* device, uint32_t handle);
  /* More numbers. Outbound: a block that does not continue the present one replaces it; the first
   * block is used only after packets that were handed over before have left. Inbound: the block
   * grows to `last`; what lies below `first` goes to the host from now on. */
  void (*grant)(void* device, uint32_t handle, const struct cygnet_numbers* block);
  void (*set_limits)(void* device, uint32_t handle, const struct cygnet_limits* limits);
  int32_t (*read)(void* device, uint32_t handle, struct cygnet_reading* reading);
  /* After stop_sa, before release_sa: the final counters, and inbound the numbers accepted within
   * the window: the bit of number s has index (s - 1) mod window. `words`: room, then used. Refused
   * if the state is lost. */
  int32_t (*take_state)(void* device, uint32_t handle, struct cygnet_reading* reading,
                        uint32_t* bitmap, uint32_t* words);
  /* Up to `room` events since the last call; returns their number. The bell is rung for new ones.
   */
  uint32_t (*take_events)(void* device, struct cygnet_event* events, uint32_t room);
  /* Optional. Of one of `n` packets that it decapsulates the device hands up a copy as it came
   * (MIRRORED), directly before the inner packet and by the same queue. 0: of none. Any -errno: it
   * cannot. */
  int32_t (*set_mirror)(void* device, uint32_t n);
};

/* --- Optional parts --- */

/* Control. Works on packets that never touch the wire, for known-answer tests. Does with each
 * packet, in order, what the device does with packets of `sa`; the result is in place with the
 * status that rx_burst or wire_send would show. The packets stay the host's. reasons[i]: why the
 * device drops packet i (a name, static), NULL: it passes. The SA takes no slot, no counter shows
 * it, and its key is erased on return. -ENETDOWN: the device is not up. */
struct cygnet_loopback {
  uint32_t size;
  uint32_t reserved;
  int32_t (*loop)(void* device, const struct cygnet_sa* sa, struct cygnet_packet* const* packets,
                  uint32_t n, const char** reasons);
};

/* Any. Devices that can play faults, for tests: "down", "up", "reset", "link-down" …
 * (doc/offload_contract.md). -EINVAL: unknown fault. */
struct cygnet_faults {
  uint32_t size;
  uint32_t reserved;
  int32_t (*inject)(void* device, const char* fault, struct cygnet_refusal* refusal);
};

struct cygnet_key_log_entry {
  uint64_t time; /* seconds since 1970 */
  struct cygnet_sa_id id;
  uint32_t taken;  /* 0: refused, nothing kept */
  uint32_t erased; /* was taken, and has been erased */
};

/* Control. For operators; no key material. Each returns how many there are, and writes those that
 * fit into `room`; of the log the last ones, oldest first. */
struct cygnet_records {
  uint32_t size;
  uint32_t reserved;
  uint32_t (*held)(void* device, struct cygnet_sa_id* ids, uint32_t room);
  uint32_t (*key_log)(void* device, struct cygnet_key_log_entry* entries, uint32_t room);
  /* Optional. The SAs as the card's own driver shows them. Returns the length of the text, as
   * snprintf does. */
  uint32_t (*view)(void* device, char* text, uint32_t room);
};

enum { CYGNET_GAP_NOT_USED = 0, CYGNET_GAP_NOT_HELD = 1, CYGNET_GAP_NO_REPLAY_CHECK = 2 };
struct cygnet_finding {
  uint32_t handle;
  uint32_t gap; /* CYGNET_GAP_… */
  char text[CYGNET_TEXT_BYTES];
};

/* Control. What the device does not do of what it claimed by install_sa: the findings since the
 * last call, up to `room`; returns their number. The bell is rung for NOT_HELD. */
struct cygnet_findings {
  uint32_t size;
  uint32_t reserved;
  uint32_t (*take)(void* device, struct cygnet_finding* findings, uint32_t room);
};

/* --- The driver --- */

enum {
  /* The device sends and receives by itself. The host gives frames that request no protection to
   * the seal guard before tx_burst; nobody can look behind the card. */
  CYGNET_WIRE_NONE = 0,
  CYGNET_WIRE_ONE = 1,  /* software: one queue of the host's wire, for a thread of the driver */
  CYGNET_WIRE_EACH = 2, /* software: a queue of the host's wire for each worker */
};

/* Required unless marked "Optional". The table and its texts are constant and valid for the life of
 * the process; the library is never unloaded. */
struct cygnet_driver {
  uint32_t abi;  /* CYGNET_ABI */
  uint32_t size; /* sizeof(struct cygnet_driver) */
  const char* name;
  const char* version;
  const char* vendor;
  uint32_t wire; /* CYGNET_WIRE_… */
  uint32_t reserved;

  /* Control. Opens the device that the options name. `device` is the first argument of all that
   * follows. Several devices of one driver may be open. The offload unit may start before or after;
   * `status` tells. */
  int32_t (*open)(const struct cygnet_driver_open* params, void** device,
                  struct cygnet_refusal* refusal);
  /* Control; no worker calls any more. Ends the threads of the driver, wipes all keys, and gives
   * every packet back (packet_free). No service is used after its return. */
  void (*close)(void* device);

  /* Any. Constant. */
  const struct cygnet_caps* (*caps)(void* device);
  /* Any. Constant. */
  void (*identity)(void* device, struct cygnet_identity* identity);
  /* Any; before each placement, and often. Ring the bell when it has changed. */
  void (*status)(void* device, struct cygnet_status* status);
  /* Any; for operators, once a second. The values may be from different moments. */
  void (*stats)(void* device, struct cygnet_driver_stats* stats);
  /* Any. Required if `wire` is CYGNET_WIRE_NONE. */
  void (*port)(void* device, struct cygnet_port* port);

  /* Control. Copies the key into the device's own store and keeps no pointer. An inbound half
   * matches no packet before start_sa. On a refusal the device holds nothing of the SA and *handle
   * stays as it is. -EOPNOTSUPP means "use software"; any other errno fails the client's request.
   * Lack of memory is a refusal (-ENOMEM). *handle: any value that no SA of the device has, and
   * that the SA before it in the same slot did not have. */
  int32_t (*install_sa)(void* device, const struct cygnet_sa* sa, uint32_t* handle,
                        struct cygnet_refusal* refusal);
  /* Control. From here on arriving packets are matched. Cannot fail; ignores an unknown handle, as
   * do the next two. */
  void (*start_sa)(void* device, uint32_t handle);
  /* Control. Arriving packets are matched no more. Outbound packets that filter_eligible accepted
   * may still come. */
  void (*stop_sa)(void* device, uint32_t handle);
  /* Control. No packet will name the handle. Packets that the device has taken still leave sealed;
   * then the slot is free and the key is wiped. */
  void (*release_sa)(void* device, uint32_t handle);
  /* Control. Handles whose keys were erased since the last call, by a release or a reset, each
   * once. Up to `room`; returns their number; the host calls again while it is `room`. Ring the
   * bell for new ones. A key counts as held until its handle is returned here. */
  uint32_t (*take_erased)(void* device, uint32_t* handles, uint32_t room);
  /* Optional. Control. What the device's driver in Linux says to an SA that caps() rules out. The
   * SA has no keys. 0: nothing. */
  int32_t (*own_refusal)(void* device, const struct cygnet_sa* sa, struct cygnet_refusal* refusal);

  /* Optional. Worker. The highest authenticated number of an ESN SA, once in 2^31 packets. Ignores
   * an unknown handle. */
  void (*advance_esn)(void* device, uint32_t handle, uint64_t highest);
  /* Optional: all. Worker, for each run of packets of one SA, before tx_burst: sets eligible[i] to
   * 1 if the device can seal packet i, else to 0. Changes no packet and keeps no pointer. */
  void (*filter_eligible)(void* device, struct cygnet_packet* const* packets, uint32_t n,
                          uint8_t* eligible);

  /* Worker of `queue`. Takes packets to send, in order: the driver owns the first r of them, r
   * being the result. The others stay the host's and are dropped as "port-full". Packets of one SA
   * leave in order, except those that are handed back. */
  uint32_t (*tx_burst)(void* device, uint32_t queue, struct cygnet_packet* const* packets,
                       uint32_t n);
  /* Worker of `queue`. Arrived frames, and packets handed back; up to `room`. The host owns them
   * afterwards. Packets of one flow come by one queue, in order. */
  uint32_t (*rx_burst)(void* device, uint32_t queue, struct cygnet_packet** packets, uint32_t room);
  /* Worker of `queue`, before it sleeps. wait_fd: a descriptor that becomes readable when rx_burst
   * may have frames; -1: nothing to wait for. The driver owns it; it is valid until the next call
   * of rx_burst. prepare_wait checks once more: 0: work is ready, do not sleep; 1: sleep.
   * finish_wait: after the thread woke. */
  int (*wait_fd)(void* device, uint32_t queue);
  int32_t (*prepare_wait)(void* device, uint32_t queue);
  void (*finish_wait)(void* device, uint32_t queue);

  /* Optional. */
  const struct cygnet_packet_mode* packet;
  const struct cygnet_loopback* loopback;
  const struct cygnet_faults* faults;
  const struct cygnet_records* records;
  const struct cygnet_findings* findings;
};

/* The one symbol of a driver. `host_abi`: CYGNET_ABI of the host. NULL: the driver cannot work with
 * this host. Control thread, once. */
CYGNET_EXPORT const struct cygnet_driver* cygnet_driver_entry(uint32_t host_abi);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* Note on CYGNET_PACKET_SEAL_REQUESTED. The host has built the whole packet: the IV stands behind
 * the ESP header, the text with padding and trailer behind the IV, and room for the ICV at the end.
 * Of a cipher with an unpredictable IV (AES-CBC) the place of the IV holds a block that is sealed
 * with the text, under an IV of zeros: the sealed block is the packet's IV. Authenticators cover
 * what is between the SPI and the ICV, and with ESN the high word behind it (RFC 4303). */

#endif /* CYGNET_DRIVER_H */
