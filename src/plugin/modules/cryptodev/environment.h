// DPDK's environment (EAL) in this process: without huge pages, without other processes, and
// without any device but those that are named. It starts once and stays until the process ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cygnet::cryptodev {

// "crypto_openssl0" or "crypto_scheduler0,worker=crypto_openssl1", as DPDK's --vdev has it, or a
// PCI address: "0000:3d:01.0".
struct DeviceName {
  std::string name;
  std::string arguments;
  bool is_pci = false;
};
DeviceName ParseDeviceName(std::string_view text);
// It changes the OpenSSL providers of the whole process.
bool IsOpensslDevice(const DeviceName& device);

// `pci`: addresses that DPDK may probe; a later start with another one fails, because EAL probes
// when it starts. The error is for operators; empty: it runs. Control thread.
std::string StartEnvironment(const std::vector<DeviceName>& devices, uint32_t memory_mib);

// The software devices that one engine made. They are removed in reverse order.
class VirtualDevices {
 public:
  VirtualDevices() = default;
  ~VirtualDevices();
  VirtualDevices(const VirtualDevices&) = delete;
  VirtualDevices& operator=(const VirtualDevices&) = delete;
  // The error; empty: made.
  std::string Make(const DeviceName& device);

 private:
  std::vector<std::string> names_;
};

// Number of the symmetric crypto device with that name or on that bus address; -1: none.
int FindCryptoDevice(const DeviceName& device);

}  // namespace cygnet::cryptodev
