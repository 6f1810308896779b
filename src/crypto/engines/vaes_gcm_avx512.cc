// AES-GCM for CPUs with AVX-512. CMakeLists.txt enables it for this file only.
#include "crypto/engines/vaes_gcm_kernel.h"
#include "crypto/engines/vaes_gcm_zmm.h"

namespace cygnet::vaes_gcm {

const Kernel kAvx512Kernel = kKernelOf<Zmm>;

}  // namespace cygnet::vaes_gcm
