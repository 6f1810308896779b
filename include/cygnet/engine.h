/* The interface between Cygnet and a crypto engine that is a plug-in: a card or a library that
 * seals and opens ESP packets. Read cygnet/types.h first: its rules hold here.
 *
 * The engine is a shared object with one exported symbol, cygnet_engine_entry. The host reads the
 * table that it returns, calls `open` once, makes sessions (keys) and queues (one for each thread
 * of the data path), and then gives jobs to the queues and asks them for completions. All
 * engines work like this, those that finish a job inside `submit` as well.
 *
 *   control thread:   open · state, identity, limits · session_create … session_destroy ·
 *                     queue_create … queue_destroy · close
 *   data path thread: submit · poll · prepare_wait · finish_wait, of its own queue
 *
 * The host always has engines of its own on the CPU. They do what a plug-in does not accept, what
 * it returns as CYGNET_NOT_DONE, and everything after it has failed. An engine therefore never
 * needs to queue more than it wants to, or to do a suite that it does not do well.
 *
 * Promises of an engine, which `cygnet conformance --engine` checks:
 *  1. Order. Jobs of one session that were submitted to one queue complete in the order of
 *     submission. Jobs of different sessions complete in any order.
 *  2. Each accepted job completes exactly once, with its own cookie, by `poll` of the queue that it
 *     was submitted to. A job that was not accepted never completes.
 *  3. Back-pressure. `submit` accepts the first n jobs and returns n, 0 ≤ n ≤ count. `submit` and
 *     `poll` never wait (CYGNET_PROMPT_US).
 *  4. Patience. A job completes within CYGNET_PATIENCE_MS, as CYGNET_NOT_DONE if need be.
 *  5. Bytes. Only the text and, when sealing, the ICV of a job change. An engine may change bytes
 *     of the ICV of a job that it opens, if it restores them before the completion.
 *  6. Authenticity. CYGNET_OK from an open job means that its ICV was verified. The text of a job
 *     that failed is as it was, or zero.
 *  7. Keys are used for their session only, and wiped in session_destroy.
 *
 * What breaks the contract so that the host can see it (an unknown cookie, a cookie twice, a
 * status outside the enumeration, more accepted than submitted, a session handle twice, a job that
 * never completes) makes the engine failed: the host destroys its queues, drops the packets that
 * the engine holds, gives it no more jobs, and tells the operator why. The process goes on.
 */
#ifndef CYGNET_ENGINE_H
#define CYGNET_ENGINE_H

#include "cygnet/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A job that an engine holds longer than this is lost: the engine has failed. */
#define CYGNET_PATIENCE_MS 2000u

#define CYGNET_MAX_QUEUES 16u    /* largest cygnet_engine_config.queues */
#define CYGNET_MAX_AAD_BYTES 24u /* largest cygnet_crypto_job.aad_length */
#define CYGNET_NONCE_BYTES 16u   /* room for the longest IV or nonce */
#define CYGNET_ENGINE_NAME_BYTES 31u

/* The operator's settings. Valid during `open` only. */
struct cygnet_engine_config {
  uint32_t size;
  uint32_t queues;        /* largest number of queues that exist at the same time */
  uint32_t queue_depth;   /* largest number of jobs in flight in one queue */
  uint32_t threads;       /* threads that an engine made of threads should use */
  uint32_t session_limit; /* largest number of sessions; 0: the engine's own limit */
  uint32_t fips;          /* 1: only approved algorithms, by a validated module if there is one */
  const struct cygnet_option* options; /* `plugin_options`, in their order */
  uint32_t option_count;
};

/* What the engine can hold; 0: no limit that the engine knows. */
struct cygnet_engine_limits {
  uint32_t size;        /* set by the host */
  uint32_t sessions;    /* at the same time */
  uint32_t queues;      /* at the same time */
  uint32_t queue_depth; /* jobs in flight in one queue */
  uint32_t text_bytes;  /* longest text of a job */
};

enum { CYGNET_SEAL = 0, CYGNET_OPEN = 1 };

/* Algorithms, lengths and key of a session. Valid during the call only.
 * An AEAD is in `cipher`, with `auth.name` NULL. A pair is a cipher and an authenticator: encrypt,
 * then authenticate. Names are Linux's; the ones that the host asks for today:
 *   AEAD    "rfc4106(gcm(aes))", "rfc4309(ccm(aes))", "rfc4543(gcm(aes))" (authenticates only),
 *           "rfc7539esp(chacha20,poly1305)"
 *   cipher  "ecb(cipher_null)", "cbc(aes)", "rfc3686(ctr(aes))", "cbc(des3_ede)"
 *   auth    "hmac(sha1)", "hmac(sha256)", "hmac(sha384)", "hmac(sha512)", "xcbc(aes)", "cmac(aes)"
 * The salt is at the end of `cipher.key`; jobs have it in the nonce, too. The ICV's length is in
 * `cipher.icv_bytes` of an AEAD and in `auth.icv_bytes` of a pair; a short one is the front of the
 * whole one. */
struct cygnet_session_params {
  uint32_t size;
  uint32_t direction; /* CYGNET_SEAL, CYGNET_OPEN */
  uint32_t queues;    /* queues with a number below this may use the session at the same time */
  struct cygnet_algorithm cipher;
  struct cygnet_algorithm auth;
};

/* One packet to seal or to open, in place. The job and everything that it points to stay valid,
 * at their places, from an accepted `submit` to the completion. The host changes none of it. */
struct cygnet_crypto_job {
  void* session;        /* from session_create */
  uint64_t cookie;      /* the host's; the completion names the job by it */
  uint8_t* text;        /* any alignment */
  uint32_t text_length; /* may be 0; CYGNET_ERROR if the cipher cannot have that length */
  uint32_t aad_length; /* AEAD: 8 or 12, "rfc4543(gcm(aes))": 16 or 20; an engine may answer others,
                        * at most CYGNET_MAX_AAD_BYTES, with CYGNET_NOT_DONE */
  uint8_t* icv;        /* written by seal, verified by open; behind the text or elsewhere */
  /* Pair: the authenticator covers everything from here to the end of the text, and then, if
   * append_esn_high is 1, the four bytes of esn_high in network order, which are not sent. In that
   * case the ICV directly follows the text. */
  const uint8_t* auth_begin;
  /* AEAD: salt ‖ IV. "rfc3686(ctr(aes))": nonce ‖ IV; the block counter begins at 1. CBC: the IV.
   * Sealing with CBC: zero, and the text begins with the IV block, which is encrypted with the
   * text: the host has made it unpredictable that way. */
  uint8_t nonce[CYGNET_NONCE_BYTES];
  uint8_t aad[CYGNET_MAX_AAD_BYTES]; /* AEAD: SPI ‖ [esn_high] ‖ sequence number [‖ IV] */
  uint32_t esn_high;
  uint32_t append_esn_high;
  void* engine_data; /* for the engine, while it has the job */
};

enum {
  CYGNET_OK = 1,
  CYGNET_AUTH_FAILED = 2, /* open: the ICV is not right */
  CYGNET_ERROR = 3,       /* the bytes must not be used */
  CYGNET_NOT_DONE = 4,    /* no byte was touched: another engine may do the job */
};

struct cygnet_completion {
  uint64_t cookie; /* of the job */
  uint32_t status; /* CYGNET_OK … CYGNET_NOT_DONE */
  uint32_t reserved;
};

enum {
  CYGNET_ENGINE_UP = 1,
  /* Accepts no jobs and no sessions, and returns those it holds as CYGNET_NOT_DONE; sessions stay.
   * It may come up again. */
  CYGNET_ENGINE_DOWN = 2,
  CYGNET_ENGINE_FAILED = 3, /* for good: the host stops using it */
};

/* `engine`, `session` and `queue` are the plug-in's own pointers, not NULL, distinct among those
 * that live. Each function tells from which thread it is called:
 *   control: one thread at a time, never concurrently with another control function of the engine
 *   queue:   the thread that owns the queue; other queues run concurrently
 *   any:     concurrently with everything, itself included */
struct cygnet_engine {
  uint32_t abi;     /* CYGNET_ABI */
  uint32_t size;    /* sizeof(struct cygnet_engine) */
  const char* name; /* for configuration, commands and logs: a-z 0-9 _ -, at most 31 bytes */
  const char* version;
  const char* vendor;
  const char* help; /* one line for `cygnet engine list` */

  /* Control, once. May take seconds. `host` is valid until `close` returns. */
  int32_t (*open)(const struct cygnet_host* host, const struct cygnet_engine_config* config,
                  void** engine, struct cygnet_refusal* refusal);
  /* Control, last. All sessions and queues are destroyed before. Threads of the plug-in have ended
   * when it returns, and nothing of it calls the host any more. */
  void (*close)(void* engine);

  /* Control. The module that does the cryptography, now. Optional: then name and version. */
  int32_t (*identity)(void* engine, struct cygnet_identity* identity);
  /* Control, right after `open`. Optional: no limits. */
  int32_t (*limits)(void* engine, struct cygnet_engine_limits* limits);
  /* Any; at least once a second. Optional: always up. An engine that changes its state rings.
   * The host counts jobs and sessions itself. */
  uint32_t (*state)(void* engine);

  /* Control, before use and without a key: `params` has lengths, and every key.data is NULL.
   * Returns 0 if a session with these algorithms and lengths can be made, else -EOPNOTSUPP. The
   * answer does not depend on how full the engine is, and does not change until `close`. */
  int32_t (*supports)(void* engine, const struct cygnet_session_params* params);
  /* Control; thousands a second. -EOPNOTSUPP: not these algorithms or lengths; -ENOSPC: no room for
   * another session; -ENETDOWN: the engine is down; -EINVAL: the key is not usable. */
  int32_t (*session_create)(void* engine, const struct cygnet_session_params* params,
                            void** session, struct cygnet_refusal* refusal);
  /* Control; while other sessions are in use. No job of the session is in flight. Wipes the key.
   * Must not wait for packets. */
  void (*session_destroy)(void* engine, void* session);

  /* Control. `number` tells which thread will use the queue, for what the engine keeps per thread
   * and session (cygnet_session_params.queues): two queues of one number never run at the same
   * time. -ENOSPC: no queue is left. */
  int32_t (*queue_create)(void* engine, uint32_t number, void** queue);
  /* Control, after the queue's thread has stopped using it; or the queue's thread, if the engine
   * has failed. When it returns, the engine touches no job of the queue any more. Jobs that were
   * in flight do not complete. At most CYGNET_PATIENCE_MS. */
  void (*queue_destroy)(void* engine, void* queue);

  /* Queue; once per batch, millions of jobs a second. Up to 64 jobs of any sessions. Returns how
   * many it accepts, from the front; it looks at no job behind these. May finish jobs at once. No
   * allocation, no system call except to wake a device, no lock that another thread holds for
   * long. */
  uint32_t (*submit)(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count);
  /* Queue; in each turn of the thread while jobs are in flight. Fills up to `room` completions and
   * returns how many. Same restrictions. */
  uint32_t (*poll)(void* queue, struct cygnet_completion* done, uint32_t room);

  /* Queue. Optional, all three or none: without them the thread does not sleep while jobs are in
   * flight. wait_fd: a descriptor that becomes readable when completions arrive between
   * prepare_wait and finish_wait; the plug-in keeps and closes it. prepare_wait: returns 1 if
   * the thread may sleep, 0 if there are completions already. finish_wait: after the sleep; clears
   * the descriptor. */
  int32_t (*wait_fd)(void* queue);
  int32_t (*prepare_wait)(void* queue);
  void (*finish_wait)(void* queue);
};

/* The one exported symbol. `host_abi` is CYGNET_ABI of the host. Returns a table that is valid as
 * long as the object is loaded, or NULL if the plug-in cannot work with that host. Called once,
 * before everything else; does nothing besides. */
CYGNET_EXPORT const struct cygnet_engine* cygnet_engine_entry(uint32_t host_abi);
#define CYGNET_ENGINE_ENTRY "cygnet_engine_entry"

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CYGNET_ENGINE_H */
