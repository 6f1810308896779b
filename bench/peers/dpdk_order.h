// An order for dpdk_ipsec_bench: one line of KEY=VALUE words, each optional.
//   mode=cpu|inline  dev=crypto_aesni_gcm|crypto_aesni_mb  alg=gcm128|gcm256  size=BYTES|imix
//   sas=N  windows=N  burst=N  packets=N (in a window)
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  kMaxBurst = 64,
  kMaxPackets = 2048,  // one for each SA
  kMaxWindows = 20000,
  kOuterBytes = 20,
  kSecuritySessionBytes = 256,
};

struct row {
  char mode[16], dev[32], alg[16], size[16];
  uint32_t sas, windows, burst;
  uint32_t packets;  // per window
};

static void die(const char* what) {
  fprintf(stderr, "dpdk_ipsec_bench: %s\n", what);
  exit(1);
}

static void set(char* to, size_t room, const char* value) { snprintf(to, room, "%s", value); }

static struct row parse(char* line) {
  struct row row = {.mode = "cpu",
                    .dev = "crypto_aesni_gcm",
                    .alg = "gcm128",
                    .size = "64",
                    .sas = 1,
                    .windows = 500,
                    .burst = 32,
                    .packets = 64};
  for (char* word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
    char* value = strchr(word, '=');
    if (value == NULL) die("an order has the form KEY=VALUE …");
    *value++ = '\0';
    if (strcmp(word, "mode") == 0)
      set(row.mode, sizeof(row.mode), value);
    else if (strcmp(word, "dev") == 0)
      set(row.dev, sizeof(row.dev), value);
    else if (strcmp(word, "alg") == 0)
      set(row.alg, sizeof(row.alg), value);
    else if (strcmp(word, "size") == 0)
      set(row.size, sizeof(row.size), value);
    else if (strcmp(word, "sas") == 0)
      row.sas = (uint32_t)atoi(value);
    else if (strcmp(word, "windows") == 0)
      row.windows = (uint32_t)atoi(value);
    else if (strcmp(word, "burst") == 0)
      row.burst = (uint32_t)atoi(value);
    else if (strcmp(word, "packets") == 0)
      row.packets = (uint32_t)atoi(value);
    else
      die("unknown key in an order");
  }
  if (row.sas < 1 || row.sas > kMaxPackets || row.windows < 1 || row.windows > kMaxWindows ||
      row.burst < 1 || row.burst > kMaxBurst || row.packets < row.burst ||
      row.packets > kMaxPackets || row.packets % row.burst != 0 ||
      (row.sas > row.packets && row.sas % row.packets != 0)) {
    die("a value in an order is out of range");
  }
  return row;
}
