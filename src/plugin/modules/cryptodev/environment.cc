#include "plugin/modules/cryptodev/environment.h"

#include <openssl/provider.h>
#include <pthread.h>
#include <rte_bus_vdev.h>
#include <rte_cryptodev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace cygnet::cryptodev {
namespace {

struct Started {
  bool tried = false;
  std::string error;
  std::vector<std::string> pci;
};
Started& TheOne() {
  static Started started;
  return started;
}

bool IsPciAddress(std::string_view text) {
  // [dddd:]bb:dd.f
  const auto is_hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  const auto matches = [&](std::string_view pattern) {
    return text.size() == pattern.size() &&
           std::equal(text.begin(), text.end(), pattern.begin(),
                      [&](char c, char p) { return p == 'x' ? is_hex(c) : c == p; });
  };
  return matches("xxxx:xx:xx.x") || matches("xx:xx.x");
}

// EAL pins the thread that starts it, and its own threads, to the processors that it is given.
class KeptAffinity {
 public:
  KeptAffinity() { pthread_getaffinity_np(pthread_self(), sizeof(set_), &set_); }
  ~KeptAffinity() { pthread_setaffinity_np(pthread_self(), sizeof(set_), &set_); }
  KeptAffinity(const KeptAffinity&) = delete;
  KeptAffinity& operator=(const KeptAffinity&) = delete;
  int first() const {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set_)) return cpu;
    }
    return 0;
  }

 private:
  cpu_set_t set_{};
};

// Sessions hold keys: their memory is neither swapped out nor dumped. Where locking fails, the
// limit of locked memory is too small; the daemon warns about that itself.
void ProtectMemory() {
  rte_memseg_list_walk(
      [](const rte_memseg_list* list, void*) {
        madvise(list->base_va, list->len, MADV_DONTDUMP);
        (void)mlock(list->base_va, list->len);
        return 0;
      },
      nullptr);
}

std::string Start(const std::vector<std::string>& pci, uint32_t memory_mib) {
  const KeptAffinity kept;
  std::vector<std::string> words = {"cygnet",
                                    "--no-huge",
                                    "--no-shconf",
                                    "--no-telemetry",
                                    "--iova-mode=va",
                                    "--log-level=error",
                                    "-l",
                                    std::to_string(kept.first()),
                                    "-m",
                                    std::to_string(memory_mib)};
  if (pci.empty()) words.emplace_back("--no-pci");
  for (const std::string& address : pci) {
    words.emplace_back("-a");
    words.push_back(address);
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
    return std::string("DPDK does not start: ") + rte_strerror(rte_errno);
  }
  ProtectMemory();
  return {};
}

}  // namespace

DeviceName ParseDeviceName(std::string_view text) {
  const std::size_t comma = text.find(',');
  DeviceName device;
  device.name = std::string(text.substr(0, comma));
  if (comma != text.npos) device.arguments = std::string(text.substr(comma + 1));
  device.is_pci = IsPciAddress(device.name);
  return device;
}

std::string StartEnvironment(const std::vector<DeviceName>& devices, uint32_t memory_mib) {
  Started& started = TheOne();
  std::vector<std::string> pci;
  for (const DeviceName& device : devices) {
    if (device.is_pci) pci.push_back(device.name);
  }
  if (!started.tried) {
    started.tried = true;
    started.pci = pci;
    started.error = Start(pci, memory_mib);
  }
  if (!started.error.empty()) return started.error;
  for (const std::string& address : pci) {
    if (std::find(started.pci.begin(), started.pci.end(), address) != started.pci.end()) continue;
    return "DPDK runs in this process without the device " + address + "; restart the process";
  }
  return {};
}

namespace {

// The device crypto_openssl loads OpenSSL's default provider when it is made, and unloads it when
// it is removed: also for everybody else in this process. A reference of our own prevents that.
void KeepOpensslsProvider(const DeviceName& device) {
  static const OSSL_PROVIDER* kept = nullptr;
  if (kept == nullptr && IsOpensslDevice(device)) kept = OSSL_PROVIDER_load(nullptr, "default");
}

}  // namespace

bool IsOpensslDevice(const DeviceName& device) { return device.name.starts_with("crypto_openssl"); }

std::string VirtualDevices::Make(const DeviceName& device) {
  KeepOpensslsProvider(device);
  const int made = rte_vdev_init(device.name.c_str(), device.arguments.c_str());
  if (made == 0) {
    names_.push_back(device.name);
    return {};
  }
  if (made == -EEXIST) return "the device " + device.name + " exists";
  return "DPDK cannot make the device " + device.name + ": " + rte_strerror(-made);
}

VirtualDevices::~VirtualDevices() {
  for (auto name = names_.rbegin(); name != names_.rend(); ++name) rte_vdev_uninit(name->c_str());
}

int FindCryptoDevice(const DeviceName& device) {
  if (!device.is_pci) return rte_cryptodev_get_dev_id(device.name.c_str());
  for (int id = 0; id < RTE_CRYPTO_MAX_DEVS; ++id) {
    if (rte_cryptodev_is_valid_dev(static_cast<uint8_t>(id)) == 0) continue;
    rte_cryptodev_info info{};
    rte_cryptodev_info_get(static_cast<uint8_t>(id), &info);
    const bool symmetric = (info.feature_flags & RTE_CRYPTODEV_FF_SYMMETRIC_CRYPTO) != 0;
    if (symmetric && info.device != nullptr && device.name == rte_dev_name(info.device)) return id;
  }
  return -1;
}

}  // namespace cygnet::cryptodev
