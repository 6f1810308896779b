// AES-GCM for CPUs with AVX-512; CMakeLists.txt lets the compiler use them in this file
// alone.
#include "crypto/engines/vaes_gcm_kernel.h"
#include "crypto/engines/vaes_gcm_zmm.h"

namespace cygnet::vaes_gcm {

const Kernel kAvx512Kernel = kKernelOf<Zmm>;

}  // namespace cygnet::vaes_gcm
