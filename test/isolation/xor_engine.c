/* A tiny engine for tests of isolation. It "encrypts" by XOR with the first byte of the key, and
 * its ICV is a sum. The option behave=WORD makes it do what a plug-in may not do. */
#include <cygnet/engine.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kJobs = 256 };

struct engine {
  const struct cygnet_host* host;
  char behave[64];
  uint32_t state, looks;
};

struct session {
  uint32_t seal, icv_bytes;
  uint8_t key[64];
};

struct queue {
  struct engine* engine;
  struct cygnet_completion done[kJobs];
  uint32_t first, count;
};

static int behaves(const struct engine* e, const char* word) {
  return strcmp(e->behave, word) == 0;
}

static void say(struct engine* e, const char* what, long value) {
  char text[256];
  snprintf(text, sizeof(text), "%s %ld", what, value);
  e->host->log(e->host->context, CYGNET_LOG_INFO, text);
}

static void forever(void) {
  for (volatile uint32_t i = 0;; ++i) continue;
}

/* What the process may do and has, as lines for the log. */
static void report(struct engine* e) {
  char path[64], link[128];
  say(e, "uid", (long)getuid());
  say(e, "dumpable", prctl(PR_GET_DUMPABLE));
  for (int fd = 0; fd < 256; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    memcpy(link, "descriptor ", 11);
    ssize_t n = readlink(path, link + 11, sizeof(link) - 12);
    link[n < 0 ? 11 : n + 11] = 0;
    say(e, link, fd);
  }
  int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  say(e, "passwd", fd < 0 ? -errno : 0);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  say(e, "socket", fd < 0 ? -errno : 0);
}

static int32_t engine_open(const struct cygnet_host* host,
                           const struct cygnet_engine_config* config, void** engine,
                           struct cygnet_refusal* refusal) {
  struct engine* e = calloc(1, sizeof(*e));
  e->host = host;
  e->state = CYGNET_ENGINE_UP;
  for (uint32_t i = 0; i < config->option_count; ++i) {
    if (strcmp(config->options[i].key, "behave") == 0) {
      snprintf(e->behave, sizeof(e->behave), "%s", config->options[i].value);
    }
  }
  if (behaves(e, "refuse")) {
    snprintf(refusal->text, sizeof(refusal->text), "there is no card");
    free(e);
    return -ENODEV;
  }
  if (behaves(e, "report")) report(e);
  *engine = e;
  return 0;
}

static void engine_close(void* engine) { free(engine); }

static int32_t engine_identity(void* engine, struct cygnet_identity* identity) {
  (void)engine;
  identity->simulated = 1;
  identity->model = "XOR";
  identity->version = "7";
  return 0;
}

static uint32_t engine_state(void* engine) {
  struct engine* e = engine;
  /* Not while it is opened, which has a limit of its own. */
  if (behaves(e, "loop-state") && ++e->looks > 8) forever();
  return e->state;
}

static int32_t engine_supports(void* engine, const struct cygnet_session_params* params) {
  (void)engine;
  if (params->auth.name != NULL) return -EOPNOTSUPP;
  return strcmp(params->cipher.name, "rfc4106(gcm(aes))") == 0 ? 0 : -EOPNOTSUPP;
}

static int32_t session_create(void* engine, const struct cygnet_session_params* params,
                              void** session, struct cygnet_refusal* refusal) {
  struct engine* e = engine;
  if (behaves(e, "loop-create")) forever();
  if (behaves(e, "die-create")) abort();
  if (params->cipher.key.length > sizeof(((struct session*)0)->key)) {
    snprintf(refusal->text, sizeof(refusal->text), "a key of %u bytes", params->cipher.key.length);
    return -EINVAL;
  }
  struct session* s = calloc(1, sizeof(*s));
  s->seal = params->direction == CYGNET_SEAL;
  s->icv_bytes = params->cipher.icv_bytes;
  memcpy(s->key, params->cipher.key.data, params->cipher.key.length);
  if (behaves(e, "down")) {
    e->state = CYGNET_ENGINE_DOWN;
    e->host->ring(e->host->context);
  }
  *session = s;
  return 0;
}

static void session_destroy(void* engine, void* session) {
  (void)engine;
  explicit_bzero(session, sizeof(struct session));
  free(session);
}

static int32_t queue_create(void* engine, uint32_t number, void** queue) {
  (void)number;
  struct queue* q = calloc(1, sizeof(*q));
  q->engine = engine;
  *queue = q;
  return 0;
}

static void queue_destroy(void* engine, void* queue) {
  (void)engine;
  free(queue);
}

static uint8_t sum(const struct cygnet_crypto_job* job) {
  uint8_t value = 0;
  for (uint32_t i = 0; i < job->text_length; ++i) value = (uint8_t)(value + job->text[i]);
  for (uint32_t i = 0; i < job->aad_length; ++i) value = (uint8_t)(value + job->aad[i]);
  return value;
}

static void xor_text(struct cygnet_crypto_job* job, uint8_t with) {
  for (uint32_t i = 0; i < job->text_length; ++i) job->text[i] ^= with;
}

static uint32_t finish(struct cygnet_crypto_job* job) {
  const struct session* s = job->session;
  if (s->seal) {
    xor_text(job, s->key[0]);
    memset(job->icv, sum(job), s->icv_bytes);
    return CYGNET_OK;
  }
  for (uint32_t i = 0; i < s->icv_bytes; ++i) {
    if (job->icv[i] != sum(job)) return CYGNET_AUTH_FAILED;
  }
  xor_text(job, s->key[0]);
  return CYGNET_OK;
}

/* Calls that the sandbox answers with the end of the process. */
static void forbidden(const struct engine* e) {
  if (behaves(e, "ptrace")) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  if (behaves(e, "fork") && fork() == 0) _exit(0);
  if (behaves(e, "exec")) execl("/bin/true", "true", NULL);
  if (behaves(e, "write-file")) open("/tmp/cygnet-isolation", O_WRONLY | O_CREAT, 0600);
  if (behaves(e, "kill-parent")) kill(getppid(), SIGTERM);
  if (behaves(e, "dumpable")) prctl(PR_SET_DUMPABLE, 1);
}

static uint32_t submit(void* queue, struct cygnet_crypto_job* const* jobs, uint32_t count) {
  struct queue* q = queue;
  struct engine* e = q->engine;
  if (behaves(e, "loop-submit")) forever();
  if (behaves(e, "crash")) raise(SIGSEGV);
  if (behaves(e, "too-many")) return count + 1;
  if (behaves(e, "read-file")) {
    int fd = open("/etc/ld.so.cache", O_RDONLY);
    say(e, "read", fd < 0 ? -errno : 0);
    e->behave[0] = 0;
  }
  forbidden(e);
  uint32_t n = 0;
  for (; n < count && q->count < kJobs; ++n) {
    struct cygnet_completion* c = &q->done[(q->first + q->count++) % kJobs];
    c->cookie = jobs[n]->cookie;
    c->status = finish(jobs[n]);
  }
  return n;
}

static uint32_t poll_queue(void* queue, struct cygnet_completion* done, uint32_t room) {
  struct queue* q = queue;
  if (behaves(q->engine, "hold")) return 0;
  uint32_t n = 0;
  for (; n < room && q->count > 0; ++n, --q->count) {
    done[n] = q->done[q->first];
    q->first = (q->first + 1) % kJobs;
    if (behaves(q->engine, "twice") && n > 0) done[n] = done[0];
    if (behaves(q->engine, "status")) done[n].status = 77;
  }
  return n;
}

static const struct cygnet_engine table = {.abi = CYGNET_ABI,
                                           .size = sizeof(struct cygnet_engine),
                                           .name = "xor",
                                           .version = "1.0",
                                           .vendor = "Tests",
                                           .help = "for tests",
                                           .open = engine_open,
                                           .close = engine_close,
                                           .identity = engine_identity,
                                           .state = engine_state,
                                           .supports = engine_supports,
                                           .session_create = session_create,
                                           .session_destroy = session_destroy,
                                           .queue_create = queue_create,
                                           .queue_destroy = queue_destroy,
                                           .submit = submit,
                                           .poll = poll_queue};

const struct cygnet_engine* cygnet_engine_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? &table : NULL;
}
