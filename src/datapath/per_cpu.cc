#include "datapath/per_cpu.h"

#include <sys/sysinfo.h>

namespace cygnet {

uint32_t CpuOfWorker(uint32_t worker) {
  const int cpus = get_nprocs_conf();
  return cpus > 0 ? worker % static_cast<uint32_t>(cpus) : worker;
}

}  // namespace cygnet
