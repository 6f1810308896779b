// AES-GCM for CPUs with AVX2, VAES, VPCLMULQDQ. CMakeLists.txt enables them for this file only.
#include "crypto/engines/vaes_gcm_kernel.h"
#include "crypto/engines/vaes_gcm_ymm.h"

namespace cygnet::vaes_gcm {

const Kernel kAvx2Kernel = kKernelOf<Ymm>;

}  // namespace cygnet::vaes_gcm
