/* The example engine, with one promise broken: MUTANT says which (engine_mutants.txt). */
#define _GNU_SOURCE
#define cygnet_engine_entry example_engine_entry
#include "../../examples/engine/example_engine.c"
#undef cygnet_engine_entry
#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* Only the mutant that is compiled uses its parts. */
#define PART __attribute__((unused)) static

/* --- Sessions --- */

static void* first_session; /* while it lives */
PART int32_t same_session(void* engine, const struct cygnet_session_params* params, void** session,
                          struct cygnet_refusal* refusal) {
  if (first_session != NULL) {
    *session = first_session;
    return 0;
  }
  const int32_t answer = session_create(engine, params, session, refusal);
  if (answer == 0) first_session = *session;
  return answer;
}
PART void forget_session(void* engine, void* session) {
  if (session == first_session) first_session = NULL;
  session_destroy(engine, session);
}

/* Every session has the key of the first. */
PART int32_t shared_key(void* engine, const struct cygnet_session_params* params, void** session,
                        struct cygnet_refusal* refusal) {
  static uint8_t key[64];
  static uint32_t length;
  struct cygnet_session_params other = *params;
  if (length == 0) {
    length = params->cipher.key.length;
    memcpy(key, params->cipher.key.data, length);
  }
  if (length == params->cipher.key.length) other.cipher.key.data = key;
  return session_create(engine, &other, session, refusal);
}

uint8_t* kept_key; /* not static: the compiler must not drop it */
PART int32_t keeps_key(void* engine, const struct cygnet_session_params* params, void** session,
                       struct cygnet_refusal* refusal) {
  kept_key = malloc(params->cipher.key.length);
  if (kept_key != NULL) memcpy(kept_key, params->cipher.key.data, params->cipher.key.length);
  return session_create(engine, params, session, refusal);
}

/* The session's key stays where the host has it. */
struct lent {
  const uint8_t* key;
  struct session* session;
};
static struct lent lent;
PART int32_t lends_key(void* engine, const struct cygnet_session_params* params, void** session,
                       struct cygnet_refusal* refusal) {
  const int32_t answer = session_create(engine, params, session, refusal);
  if (answer == 0) lent = (struct lent){params->cipher.key.data, *session};
  return answer;
}
PART uint32_t uses_lent_key(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  if (count > 0 && jobs[0]->session == lent.session) {
    EVP_CipherInit_ex(lent.session->contexts[queue->number], NULL, NULL, lent.key, NULL, -1);
  }
  return submit(queue, jobs, count);
}

PART int32_t claims_64(void* engine, struct cygnet_engine_limits* limits) {
  (void)engine;
  limits->sessions = 64;
  return 0;
}
static uint32_t living;
PART int32_t makes_32(void* engine, const struct cygnet_session_params* params, void** session,
                      struct cygnet_refusal* refusal) {
  if (living >= 32) return -ENOSPC;
  const int32_t answer = session_create(engine, params, session, refusal);
  living += answer == 0;
  return answer;
}
PART void one_less(void* engine, void* session) {
  --living;
  session_destroy(engine, session);
}

PART int32_t runs_out(void* engine, const struct cygnet_session_params* params, void** session,
                      struct cygnet_refusal* refusal) {
  static uint32_t made;
  return ++made > 1000 ? -ENOSPC : session_create(engine, params, session, refusal);
}

PART int32_t never_long_keys(void* engine, const struct cygnet_session_params* params,
                             void** session, struct cygnet_refusal* refusal) {
  if (params->cipher.key.length > 30) return -EINVAL;
  return session_create(engine, params, session, refusal);
}

/* --- Submit: the example has finished the jobs when its own returns --- */

static struct cygnet_completion* completion_of(struct queue* queue, uint32_t from_the_end) {
  return &queue->done[(queue->tail - 1 - from_the_end) % queue->depth];
}

PART uint32_t touch_after(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  const uint32_t n = submit(queue, jobs, count);
  for (uint32_t i = 0; i < n; ++i) {
    struct cygnet_completion* done = completion_of(queue, n - 1 - i);
    const struct session* session = jobs[i]->session;
    const int sealed = session->direction == CYGNET_SEAL;
    (void)done, (void)sealed;
#if MUTANT == 3
    if (sealed) jobs[i]->icv[session->icv_bytes] ^= 1; /* behind the ICV */
#elif MUTANT == 4
    jobs[i]->text[-9] ^= 1; /* in front of the IV */
#elif MUTANT == 5
    if (sealed) jobs[i]->icv[0] ^= 1;
#elif MUTANT == 6
    if (!sealed) jobs[i]->icv[0] ^= 1; /* of a packet that is opened */
#elif MUTANT == 7
    if (done->status == CYGNET_AUTH_FAILED) done->status = CYGNET_OK;
#elif MUTANT == 8
    if (done->status == CYGNET_AUTH_FAILED) done->status = CYGNET_ERROR;
#elif MUTANT == 9
    if (done->status == CYGNET_AUTH_FAILED && jobs[i]->text_length > 0) jobs[i]->text[0] = 0x45;
#elif MUTANT == 10
    if (sealed && i % 16 == 15) done->status = CYGNET_NOT_DONE; /* it has done it */
#endif
  }
  return n;
}

PART uint32_t forget_esn(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (jobs[i]->aad_length == 12) memset(jobs[i]->aad + 4, 0, 4);
  }
  return submit(queue, jobs, count);
}

PART uint32_t cut_long_texts(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (jobs[i]->text_length > 4096) jobs[i]->text_length = 4096;
  }
  return submit(queue, jobs, count);
}

PART uint32_t accept_more(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  return submit(queue, jobs, count) + 1;
}

PART uint32_t do_more_than_accepted(void* pointer, struct cygnet_crypto_job* const* jobs,
                                    uint32_t count) {
  struct queue* queue = pointer;
  static uint32_t calls;
  const uint32_t n = submit(queue, jobs, count);
  if (n < 2 || ++calls % 4 != 0) return n;
  --queue->tail; /* the last one does not complete, but its bytes have changed */
  return n - 1;
}

PART uint32_t lose_some(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  static uint32_t calls;
  const uint32_t n = submit(queue, jobs, count);
  if (n > 0 && ++calls % 16 == 0) --queue->tail;
  return n;
}

PART void pause_12_ms(void) {
  const struct timespec pause = {.tv_nsec = 12000000};
  nanosleep(&pause, NULL);
}
PART uint32_t slow_submit(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  pause_12_ms();
  return submit(queue, jobs, count);
}
PART uint32_t slow_poll(void* queue, struct cygnet_completion* done, uint32_t room) {
  pause_12_ms();
  return poll_done(queue, done, room);
}

PART uint32_t reverse(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  const uint32_t n = submit(queue, jobs, count);
  for (uint32_t i = 0; i < n / 2; ++i) {
    const struct cygnet_completion kept = *completion_of(queue, i);
    *completion_of(queue, i) = *completion_of(queue, n - 1 - i);
    *completion_of(queue, n - 1 - i) = kept;
  }
  return n;
}

/* Allowed: the jobs of the first session complete last, and each session's in order. */
PART uint32_t one_session_last(void* pointer, struct cygnet_crypto_job* const* jobs,
                               uint32_t count) {
  struct queue* queue = pointer;
  struct cygnet_completion late[64];
  uint32_t kept = 0, at = queue->tail;
  const uint32_t n = submit(queue, jobs, count);
  for (uint32_t i = 0; i < n; ++i) {
    const struct cygnet_completion done = *completion_of(queue, n - 1 - i);
    if (jobs[i]->session == jobs[0]->session && kept < 64) {
      late[kept++] = done;
    } else {
      queue->done[at++ % queue->depth] = done;
    }
  }
  for (uint32_t i = 0; i < kept; ++i) queue->done[at++ % queue->depth] = late[i];
  return n;
}

/* The ICV is right, and the text is still readable. */
PART uint32_t leaves_text(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  static __thread uint8_t text[16384];
  uint32_t n = 0;
  for (; n < count; ++n) {
    const struct session* session = jobs[n]->session;
    const uint32_t length = jobs[n]->text_length;
    const int keep = session->direction == CYGNET_SEAL && length <= sizeof(text);
    if (keep) memcpy(text, jobs[n]->text, length);
    if (submit(queue, jobs + n, 1) == 0) break;
    if (keep) memcpy(jobs[n]->text, text, length);
  }
  return n;
}

/* A packet that it still writes to when the queue is gone: a thread does it a little later. */
static uint8_t* late_text;
PART uint32_t note_text(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  const uint32_t n = submit(queue, jobs, count);
  if (n > 0) late_text = jobs[0]->text;
  return n;
}

/* --- Poll --- */

PART uint32_t twice(void* queue, struct cygnet_completion* done, uint32_t room) {
  static struct cygnet_completion last;
  const uint32_t n = poll_done(queue, done, room);
  if (n > 0) last = done[n - 1];
  if (n > 0 || last.cookie == 0 || room == 0) return n;
  done[0] = last;
  last.cookie = 0;
  return 1;
}

PART uint32_t invent(void* queue, struct cygnet_completion* done, uint32_t room) {
  static int due;
  const uint32_t n = poll_done(queue, done, room);
  if (n > 0) due = 1;
  if (n > 0 || room == 0 || !due) return n;
  due = 0;
  done[0].cookie = UINT64_MAX;
  done[0].status = CYGNET_OK;
  return 1;
}

PART uint32_t unknown_status(void* queue, struct cygnet_completion* done, uint32_t room) {
  const uint32_t n = poll_done(queue, done, room);
  if (n > 0) done[n - 1].status = 99;
  return n;
}

PART uint32_t too_many(void* queue, struct cygnet_completion* done, uint32_t room) {
  return poll_done(queue, done, room) + room + 1;
}

/* --- Queues --- */

PART int32_t one_context(void* engine, uint32_t number, void** queue) {
  (void)number;
  return queue_create(engine, 0, queue);
}

static void* write_to_text(void* text) {
  const struct timespec pause = {.tv_nsec = 5000000};
  nanosleep(&pause, NULL);
  *(uint8_t*)text ^= 1;
  return NULL;
}
PART void write_after_the_end(void* engine, void* queue) {
  queue_destroy(engine, queue);
  pthread_t thread;
  if (late_text == NULL || pthread_create(&thread, NULL, write_to_text, late_text) != 0) return;
  pthread_detach(thread);
  late_text = NULL;
}

PART int32_t never_readable(void* queue) {
  (void)queue;
  static int ends[2] = {-1, -1};
  if (ends[0] < 0 && pipe(ends) != 0) return -1;
  return ends[0];
}
PART int32_t may_sleep(void* queue) {
  (void)queue;
  return 1;
}
PART void wake(void* queue) { (void)queue; }

/* --- The engine --- */

PART int32_t open_once(const struct cygnet_host* host, const struct cygnet_engine_config* config,
                       void** engine, struct cygnet_refusal* refusal) {
  static int opened;
  return opened++ > 0 ? -EBUSY : engine_open(host, config, engine, refusal);
}

PART int32_t nameless(void* engine, struct cygnet_identity* identity) {
  (void)engine;
  identity->model = "a card";
  return 0;
}

/* Claims AES-CBC with HMAC, and does nothing. */
PART int32_t claims_cbc(void* engine, const struct cygnet_session_params* params) {
  const int cbc = params->auth.name != NULL && strcmp(params->cipher.name, "cbc(aes)") == 0;
  return cbc ? 0 : supports(engine, params);
}
PART int32_t any_session(void* engine, const struct cygnet_session_params* params, void** session,
                         struct cygnet_refusal* refusal) {
  if (params->auth.name == NULL) return session_create(engine, params, session, refusal);
  struct session* made = calloc(1, sizeof(*made));
  *session = made;
  return made == NULL ? -ENOMEM : 0;
}
PART uint32_t do_nothing(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  const uint32_t room = queue->depth - (queue->tail - queue->head);
  const uint32_t n = count < room ? count : room;
  for (uint32_t i = 0; i < n; ++i) complete(queue, jobs[i]->cookie, CYGNET_OK);
  return n;
}

static void change(struct cygnet_engine* mutant) {
#if MUTANT == 1
  mutant->session_create = same_session;
  mutant->session_destroy = forget_session;
#elif MUTANT == 2
  mutant->session_create = shared_key;
#elif MUTANT >= 3 && MUTANT <= 10
  mutant->submit = touch_after;
#elif MUTANT == 11
  mutant->submit = forget_esn;
#elif MUTANT == 12
  mutant->submit = cut_long_texts;
#elif MUTANT == 13
  mutant->submit = accept_more;
#elif MUTANT == 14
  mutant->submit = do_more_than_accepted;
#elif MUTANT == 15
  mutant->submit = lose_some;
#elif MUTANT == 16
  mutant->submit = reverse;
#elif MUTANT == 17
  mutant->poll = twice;
#elif MUTANT == 18
  mutant->poll = invent;
#elif MUTANT == 19
  mutant->poll = unknown_status;
#elif MUTANT == 20
  mutant->poll = too_many;
#elif MUTANT == 21
  mutant->queue_create = one_context;
#elif MUTANT == 22
  mutant->wait_fd = never_readable;
  mutant->prepare_wait = may_sleep;
  mutant->finish_wait = wake;
#elif MUTANT == 23
  mutant->session_create = keeps_key;
#elif MUTANT == 24
  mutant->session_create = runs_out;
#elif MUTANT == 25
  mutant->session_create = never_long_keys;
#elif MUTANT == 26
  mutant->open = open_once;
#elif MUTANT == 27
  mutant->identity = nameless;
#elif MUTANT == 28
  mutant->supports = claims_cbc;
  mutant->session_create = any_session;
  mutant->submit = do_nothing;
#elif MUTANT == 29
  mutant->submit = note_text;
  mutant->queue_destroy = write_after_the_end;
#elif MUTANT == 30
  mutant->submit = leaves_text;
#elif MUTANT == 31
  mutant->session_create = lends_key;
  mutant->submit = uses_lent_key;
#elif MUTANT == 32
  mutant->limits = claims_64;
  mutant->session_create = makes_32;
  mutant->session_destroy = one_less;
#elif MUTANT == 33
  mutant->submit = slow_submit;
#elif MUTANT == 34
  mutant->poll = slow_poll;
#elif MUTANT == 35
  mutant->submit = one_session_last;
#else
#error "no such mutant"
#endif
}

CYGNET_EXPORT const struct cygnet_engine* cygnet_engine_entry(uint32_t host_abi) {
  static struct cygnet_engine mutant;
  const struct cygnet_engine* base = example_engine_entry(host_abi);
  if (base == NULL) return NULL;
  mutant = *base;
  change(&mutant);
  return &mutant;
}
