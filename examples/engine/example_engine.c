/* An engine for Cygnet that does AES-GCM with OpenSSL: a plug-in in one file, which a card's vendor
 * can begin with. Jobs are done in `submit`; a card would do them later. */
#include <cygnet/engine.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct engine {
  uint32_t depth;
};

/* An OpenSSL context must not be used by two threads at once, so there is one for each queue. */
struct session {
  uint32_t direction;
  int icv_bytes;
  uint32_t queues;
  EVP_CIPHER_CTX* contexts[CYGNET_MAX_QUEUES];
};

/* Completions that wait for `poll`: a ring. */
struct queue {
  uint32_t number;
  uint32_t depth;
  uint32_t head, tail;
  struct cygnet_completion done[];
};

/* --- Engine --- */

static int32_t engine_open(const struct cygnet_host* host,
                           const struct cygnet_engine_config* config, void** engine,
                           struct cygnet_refusal* refusal) {
  if (config->option_count > 0) {
    snprintf(refusal->text, sizeof(refusal->text), "unknown option %s", config->options[0].key);
    return -EINVAL;
  }
  struct engine* opened = calloc(1, sizeof(*opened));
  if (opened == NULL) return -ENOMEM;
  opened->depth = config->queue_depth;
  host->log(host->context, CYGNET_LOG_INFO, "example engine opened");
  *engine = opened;
  return 0;
}

static void engine_close(void* engine) { free(engine); }

static int32_t engine_identity(void* engine, struct cygnet_identity* identity) {
  (void)engine;
  identity->simulated = 1;
  identity->model = "example engine";
  identity->version = "1.0";
  return 0;
}

/* --- Sessions --- */

static const EVP_CIPHER* cipher_of(uint32_t key_bytes) {
  switch (key_bytes) {
    case 16:
      return EVP_aes_128_gcm();
    case 24:
      return EVP_aes_192_gcm();
    case 32:
      return EVP_aes_256_gcm();
    default:
      return NULL;
  }
}

static uint32_t key_bytes_of(const struct cygnet_session_params* params) {
  const struct cygnet_algorithm* cipher = &params->cipher;
  return cipher->key.length < cipher->salt_bytes ? 0 : cipher->key.length - cipher->salt_bytes;
}

static int32_t supports(void* engine, const struct cygnet_session_params* params) {
  (void)engine;
  const struct cygnet_algorithm* cipher = &params->cipher;
  const int icv = cipher->icv_bytes == 8 || cipher->icv_bytes == 12 || cipher->icv_bytes == 16;
  const int gcm = params->auth.name == NULL && strcmp(cipher->name, "rfc4106(gcm(aes))") == 0;
  return gcm && icv && cipher_of(key_bytes_of(params)) != NULL ? 0 : -EOPNOTSUPP;
}

static void session_destroy(void* engine, void* pointer) {
  (void)engine;
  struct session* session = pointer;
  for (uint32_t i = 0; i < session->queues; ++i) {
    EVP_CIPHER_CTX_free(session->contexts[i]); /* wipes the key */
  }
  free(session);
}

static int32_t session_create(void* engine, const struct cygnet_session_params* params,
                              void** pointer, struct cygnet_refusal* refusal) {
  if (supports(engine, params) != 0 || params->queues > CYGNET_MAX_QUEUES) {
    snprintf(refusal->text, sizeof(refusal->text), "it does AES-GCM only");
    return -EOPNOTSUPP;
  }
  struct session* session = calloc(1, sizeof(*session));
  if (session == NULL) return -ENOMEM;
  session->direction = params->direction;
  session->icv_bytes = (int)params->cipher.icv_bytes;
  session->queues = params->queues;
  const int seal = params->direction == CYGNET_SEAL;
  const EVP_CIPHER* cipher = cipher_of(key_bytes_of(params));
  for (uint32_t i = 0; i < params->queues; ++i) {
    session->contexts[i] = EVP_CIPHER_CTX_new();
    if (session->contexts[i] == NULL ||
        EVP_CipherInit_ex(session->contexts[i], cipher, NULL, params->cipher.key.data, NULL,
                          seal) != 1) {
      session_destroy(engine, session);
      return -EINVAL;
    }
  }
  *pointer = session;
  return 0;
}

/* --- Jobs --- */

static uint32_t seal(EVP_CIPHER_CTX* ctx, const struct session* session,
                     struct cygnet_crypto_job* job) {
  int n = 0;
  if (EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, job->nonce) != 1 ||
      EVP_EncryptUpdate(ctx, NULL, &n, job->aad, (int)job->aad_length) != 1 ||
      EVP_EncryptUpdate(ctx, job->text, &n, job->text, (int)job->text_length) != 1 ||
      EVP_EncryptFinal_ex(ctx, job->text + n, &n) != 1 ||
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, session->icv_bytes, job->icv) != 1) {
    return CYGNET_ERROR;
  }
  return CYGNET_OK;
}

static uint32_t open_sealed(EVP_CIPHER_CTX* ctx, const struct session* session,
                            struct cygnet_crypto_job* job) {
  int n = 0;
  if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, session->icv_bytes, job->icv) != 1 ||
      EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, job->nonce) != 1 ||
      EVP_DecryptUpdate(ctx, NULL, &n, job->aad, (int)job->aad_length) != 1 ||
      EVP_DecryptUpdate(ctx, job->text, &n, job->text, (int)job->text_length) != 1) {
    memset(job->text, 0, job->text_length);
    return CYGNET_ERROR;
  }
  if (EVP_DecryptFinal_ex(ctx, job->text + n, &n) == 1) return CYGNET_OK;
  memset(job->text, 0, job->text_length);
  return CYGNET_AUTH_FAILED;
}

static uint32_t do_job(const struct queue* queue, struct cygnet_crypto_job* job) {
  struct session* session = job->session;
  EVP_CIPHER_CTX* ctx = session->contexts[queue->number];
  return session->direction == CYGNET_SEAL ? seal(ctx, session, job)
                                           : open_sealed(ctx, session, job);
}

/* --- Queues --- */

static int32_t queue_create(void* engine, uint32_t number, void** queue) {
  const struct engine* opened = engine;
  struct queue* made =
      calloc(1, sizeof(*made) + (size_t)opened->depth * sizeof(struct cygnet_completion));
  if (made == NULL) return -ENOMEM;
  made->number = number;
  made->depth = opened->depth;
  *queue = made;
  return 0;
}

static void queue_destroy(void* engine, void* queue) {
  (void)engine;
  free(queue);
}

static void complete(struct queue* queue, uint64_t cookie, uint32_t status) {
  const struct cygnet_completion done = {.cookie = cookie, .status = status};
  queue->done[queue->tail++ % queue->depth] = done;
}

static uint32_t submit(void* pointer, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* queue = pointer;
  const uint32_t room = queue->depth - (queue->tail - queue->head);
  uint32_t n = count < room ? count : room;
  for (uint32_t i = 0; i < n; ++i) complete(queue, jobs[i]->cookie, do_job(queue, jobs[i]));
  return n;
}

static uint32_t poll_done(void* pointer, struct cygnet_completion* done, uint32_t room) {
  struct queue* queue = pointer;
  uint32_t n = 0;
  while (n < room && queue->head != queue->tail)
    done[n++] = queue->done[queue->head++ % queue->depth];
  return n;
}

static const struct cygnet_engine table = {
    .abi = CYGNET_ABI,
    .size = sizeof(struct cygnet_engine),
    .name = "example",
    .version = "1.0",
    .vendor = "Cygnet",
    .help = "AES-GCM with OpenSSL, as an example",
    .open = engine_open,
    .close = engine_close,
    .identity = engine_identity,
    .supports = supports,
    .session_create = session_create,
    .session_destroy = session_destroy,
    .queue_create = queue_create,
    .queue_destroy = queue_destroy,
    .submit = submit,
    .poll = poll_done,
};

CYGNET_EXPORT const struct cygnet_engine* cygnet_engine_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &table : NULL;
}
