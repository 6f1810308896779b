// Measures DPDK's librte_ipsec as esp_bench measures Cygnet: seal and open phases over the same
// packets alternate. Each phase is one window timed by TSC. The results are p5 and median of the
// windows.
//
// Reads orders from standard input, one per line (dpdk_order.h), and answers each with one line of
// JSON, so that the caller can alternate short phases of this program and of another. With
// CYGNET_BENCH_AVX2 in the environment ipsec-mb uses its AVX2 code instead of AVX-512, as on a CPU
// without AVX-512. (EAL's --force-max-simd-bitwidth does not reach ipsec-mb.)
#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <rte_cryptodev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_ipsec.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_security.h>
#include <rte_version.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dpdk_order.h"

// One SA, both directions.
struct sa_pair {
  struct rte_ipsec_session out, in;
};

struct bench {
  struct rte_mempool *mbufs, *sessions;
  struct rte_mbuf* packets[kMaxPackets];
  uint32_t bytes[kMaxPackets];
  uint32_t packet_count;
  struct sa_pair* sas;
  bool cpu;
  uint64_t failed;
};

static bool use_avx2;

// Replaces ipsec-mb's function, which the PMD calls to select the best code for this CPU.
void init_mb_mgr_auto(IMB_MGR* state, IMB_ARCH* arch) {
  if (use_avx2) {
    init_mb_mgr_avx2(state);
    if (arch != NULL) *arch = IMB_ARCH_AVX2;
    return;
  }
  void (*original)(IMB_MGR*, IMB_ARCH*) =
      (void (*)(IMB_MGR*, IMB_ARCH*))dlsym(RTLD_NEXT, "init_mb_mgr_auto");
  original(state, arch);
}

// --- SAs ---

static const struct rte_ipv4_hdr outer = {
    .version_ihl = 0x45,
    .time_to_live = 64,
    .next_proto_id = IPPROTO_ESP,
    .src_addr = RTE_BE32(RTE_IPV4(192, 0, 2, 1)),
    .dst_addr = RTE_BE32(RTE_IPV4(192, 0, 2, 2)),
};

static struct rte_ipsec_sa* make_sa(uint32_t spi, bool outbound,
                                    struct rte_crypto_sym_xform* crypto) {
  const struct rte_ipsec_sa_prm prm = {
      .ipsec_xform =
          {
              .spi = spi,
              .salt = 0x01020304,
              .direction =
                  outbound ? RTE_SECURITY_IPSEC_SA_DIR_EGRESS : RTE_SECURITY_IPSEC_SA_DIR_INGRESS,
              .proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP,
              .mode = RTE_SECURITY_IPSEC_SA_MODE_TUNNEL,
              .tunnel = {.type = RTE_SECURITY_IPSEC_TUNNEL_IPV4},
              .replay_win_sz = 64,
          },
      .crypto_xform = crypto,
      .tun = {.hdr_len = kOuterBytes, .next_proto = IPPROTO_IPIP, .hdr = &outer},
  };
  const int size = rte_ipsec_sa_size(&prm);
  if (size <= 0) die("rte_ipsec_sa_size");
  struct rte_ipsec_sa* sa = rte_zmalloc(NULL, (size_t)size, RTE_CACHE_LINE_SIZE);
  if (sa == NULL || rte_ipsec_sa_init(sa, &prm, (uint32_t)size) != size) die("rte_ipsec_sa_init");
  return sa;
}

// One half of an SA. Inline needs no NIC: the packet that prepare makes, with its text in clear, is
// the one that the NIC would get, and that it would deliver on the other side.
static void make_half(struct bench* bench, const struct row* row, uint32_t spi, bool outbound,
                      struct rte_ipsec_session* half) {
  static struct rte_security_ctx no_device;
  static uint8_t key[32];
  memset(key, (int)(0x40 + spi % 64), sizeof(key));
  struct rte_crypto_sym_xform crypto = {
      .type = RTE_CRYPTO_SYM_XFORM_AEAD,
      .aead = {.op = outbound ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT,
               .algo = RTE_CRYPTO_AEAD_AES_GCM,
               .key = {.data = key, .length = strcmp(row->alg, "gcm256") == 0 ? 32 : 16},
               .iv = {.offset = 0, .length = 12},
               .digest_length = 16,
               .aad_length = 8},
  };
  memset(half, 0, sizeof(*half));
  half->sa = make_sa(spi, outbound, &crypto);
  if (bench->cpu) {
    const int dev = rte_cryptodev_get_dev_id(row->dev);
    if (dev < 0) die("unknown crypto device");
    half->type = RTE_SECURITY_ACTION_TYPE_CPU_CRYPTO;
    half->crypto.dev_id = (uint8_t)dev;
    half->crypto.ses = rte_cryptodev_sym_session_create((uint8_t)dev, &crypto, bench->sessions);
  } else {
    half->type = RTE_SECURITY_ACTION_TYPE_INLINE_CRYPTO;
    half->security.ctx = &no_device;
    half->security.ses = rte_zmalloc(NULL, kSecuritySessionBytes, RTE_CACHE_LINE_SIZE);
  }
  if (rte_ipsec_session_prepare(half) != 0) die("rte_ipsec_session_prepare");
}

static void free_half(struct bench* bench, struct rte_ipsec_session* half) {
  if (bench->cpu) {
    rte_cryptodev_sym_session_free(half->crypto.dev_id, half->crypto.ses);
  } else {
    rte_free(half->security.ses);
  }
  rte_ipsec_sa_fini(half->sa);
  rte_free(half->sa);
}

// --- Packets ---

static const uint16_t kImix[12] = {64, 570, 64, 64, 570, 64, 1400, 64, 570, 64, 570, 64};

static uint8_t pattern(uint32_t packet, uint32_t at) { return (uint8_t)(packet * 7 + at); }

static void fill_packets(struct bench* bench, const struct row* row) {
  const bool imix = strcmp(row->size, "imix") == 0;
  for (uint32_t i = 0; i < bench->packet_count; ++i) {
    bench->bytes[i] = imix ? kImix[i % 12] : (uint32_t)atoi(row->size);
    struct rte_mbuf* m = bench->packets[i];
    rte_pktmbuf_reset(m);
    uint8_t* data = (uint8_t*)rte_pktmbuf_append(m, (uint16_t)bench->bytes[i]);
    if (data == NULL) die("packet too large");
    for (uint32_t k = 0; k < bench->bytes[i]; ++k) data[k] = pattern(i, k);
    struct rte_ipv4_hdr ip = {.version_ihl = 0x45,
                              .total_length = rte_cpu_to_be_16((uint16_t)bench->bytes[i]),
                              .time_to_live = 64,
                              .next_proto_id = IPPROTO_UDP,
                              .src_addr = RTE_BE32(RTE_IPV4(10, 1, 0, 1)),
                              .dst_addr = RTE_BE32(RTE_IPV4(10, 2, 0, 1))};
    memcpy(data, &ip, sizeof(ip));
  }
}

static void check_packets(struct bench* bench) {
  for (uint32_t i = 0; i < bench->packet_count; ++i) {
    const struct rte_mbuf* m = bench->packets[i];
    const uint8_t* data = rte_pktmbuf_mtod(m, const uint8_t*);
    bool same = m->pkt_len == bench->bytes[i];
    for (uint32_t k = sizeof(outer); same && k < bench->bytes[i]; ++k) {
      same = data[k] == pattern(i, k);
    }
    if (!same) ++bench->failed;
  }
}

// --- The measurement ---

// Bursts of one SA. With many SAs each packet of a burst has its own SA, so the per-session API is
// called with one packet.
static void run(struct bench* bench, uint32_t first, const struct row* row, bool outbound) {
  const uint16_t step = row->sas > 1 ? 1 : (uint16_t)row->burst;
  for (uint32_t i = first; i < first + row->packets; i += step) {
    struct sa_pair* pair = &bench->sas[row->sas > 1 ? i % row->sas : 0];
    const struct rte_ipsec_session* half = outbound ? &pair->out : &pair->in;
    uint16_t n = step;
    if (bench->cpu) n = rte_ipsec_pkt_cpu_prepare(half, &bench->packets[i], n);
    n = rte_ipsec_pkt_process(half, &bench->packets[i], n);
    bench->failed += (uint64_t)(step - n);
  }
}

static void before(struct bench* bench, uint32_t first, const struct row* row, bool outbound) {
  for (uint32_t i = first; i < first + row->packets; ++i) {
    bench->packets[i]->l2_len = 0;
    bench->packets[i]->l3_len = kOuterBytes;
    bench->packets[i]->ol_flags = 0;
    if (outbound) bench->packets[i]->packet_type = 0;
  }
}

static uint64_t timed(struct bench* bench, uint32_t first, const struct row* row, bool outbound) {
  before(bench, first, row, outbound);
  const uint64_t begin = rte_rdtsc_precise();
  run(bench, first, row, outbound);
  return rte_rdtsc_precise() - begin;
}

static int by_value(const void* a, const void* b) {
  const uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return x < y ? -1 : x > y;
}

static void print_stats(const char* name, uint64_t* ticks, uint32_t n, uint32_t packets) {
  qsort(ticks, n, sizeof(*ticks), by_value);
  printf("\"%s\": {\"p5\": %.2f, \"median\": %.2f}", name, (double)ticks[(n - 1) / 20] / packets,
         (double)ticks[(n - 1) / 2] / packets);
}

static void measure(struct bench* bench, const struct row* row) {
  static uint64_t out[kMaxWindows], in[kMaxWindows];
  bench->cpu = strcmp(row->mode, "cpu") == 0;
  bench->failed = 0;
  bench->packet_count = RTE_MAX(row->sas, row->packets);
  bench->sas = rte_zmalloc(NULL, row->sas * sizeof(*bench->sas), RTE_CACHE_LINE_SIZE);
  for (uint32_t i = 0; i < row->sas; ++i) {
    make_half(bench, row, 0x1000 + i, true, &bench->sas[i].out);
    make_half(bench, row, 0x1000 + i, false, &bench->sas[i].in);
  }
  fill_packets(bench, row);
  // The first windows are warm-up. With many SAs all packets are sealed before any is opened, so
  // that each SA is cold at its turn.
  uint32_t n = 0;
  for (int warm = 1; n < row->windows; warm = 0) {
    const uint32_t keep = n;
    uint32_t o = n, p = n;
    for (uint32_t first = 0; first < bench->packet_count && o < kMaxWindows;
         first += row->packets) {
      out[o++] = timed(bench, first, row, true);
    }
    for (uint32_t first = 0; first < bench->packet_count && p < kMaxWindows;
         first += row->packets) {
      in[p++] = timed(bench, first, row, false);
    }
    n = warm ? keep : o;
    if (o == kMaxWindows) break;
  }
  check_packets(bench);
  printf("{");
  print_stats("out", out, n, row->packets);
  printf(", ");
  print_stats("in", in, n, row->packets);
  printf(", \"windows\": %u, \"failed\": %" PRIu64 "}\n", n, bench->failed);
  fflush(stdout);
  for (uint32_t i = 0; i < row->sas; ++i) {
    free_half(bench, &bench->sas[i].out);
    free_half(bench, &bench->sas[i].in);
  }
  rte_free(bench->sas);
}

// --- Start ---

static void start_devices(struct bench* bench) {
  static const char* const kNames[] = {"crypto_aesni_gcm", "crypto_aesni_mb"};
  unsigned int session_bytes = 0;
  for (size_t i = 0; i < RTE_DIM(kNames); ++i) {
    const int dev = rte_cryptodev_get_dev_id(kNames[i]);
    if (dev < 0) die("a crypto device is missing; pass --vdev to EAL for both");
    struct rte_cryptodev_config config = {.socket_id = (int)rte_socket_id(), .nb_queue_pairs = 1};
    struct rte_cryptodev_qp_conf queue = {.nb_descriptors = 2048};
    if (rte_cryptodev_configure((uint8_t)dev, &config) != 0 ||
        rte_cryptodev_queue_pair_setup((uint8_t)dev, 0, &queue, (int)rte_socket_id()) != 0 ||
        rte_cryptodev_start((uint8_t)dev) != 0) {
      die("cannot start a crypto device");
    }
    session_bytes =
        RTE_MAX(session_bytes, rte_cryptodev_sym_get_private_session_size((uint8_t)dev));
  }
  bench->sessions = rte_cryptodev_sym_session_pool_create(
      "sessions", 2 * kMaxPackets + 64, session_bytes, 0, 0, (int)rte_socket_id());
  bench->mbufs = rte_pktmbuf_pool_create("packets", kMaxPackets + 64, 0, 0,
                                         RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
  if (bench->sessions == NULL || bench->mbufs == NULL ||
      rte_pktmbuf_alloc_bulk(bench->mbufs, bench->packets, kMaxPackets) != 0) {
    die("out of memory: pass EAL a larger -m");
  }
}

int main(int argc, char** argv) {
  use_avx2 = getenv("CYGNET_BENCH_AVX2") != NULL;  // EAL's --vdev makes the devices
  if (rte_eal_init(argc, argv) < 0) die("rte_eal_init");
  static struct bench bench;
  start_devices(&bench);
  printf("{\"tsc_hz\": %" PRIu64 ", \"dpdk\": \"%s\", \"ipsec_mb\": \"%s\", \"avx2\": %s}\n",
         rte_get_tsc_hz(), rte_version(), imb_get_version_str(), use_avx2 ? "true" : "false");
  fflush(stdout);
  char line[256];
  while (fgets(line, sizeof(line), stdin) != NULL) {
    const struct row row = parse(line);
    measure(&bench, &row);
  }
  return 0;
}
