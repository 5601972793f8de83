// SPDX-License-Identifier: Apache-2.0
#include "crypto/gcm_library.h"

#ifdef REDOUBT_HAS_GCM_LIBRARY
#include <dlfcn.h>

#include <cstdint>

namespace redoubt::crypto {
namespace {

// The name carries the version of the binary interface that the header describes: later releases of it only append.
constexpr const char* kLibrary = "libIPSec_MB.so.1";

// VAES, whose name clang 14 does not know here, the library looks for itself.
bool processor_suffices() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("vpclmulqdq");
}

template <typename Function>
Function* symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}

// What is loaded stays loaded: ciphers in use point into it.
const IMB_MGR* load() {
  if (!processor_suffices()) return nullptr;
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const auto allocate = symbol<decltype(alloc_mb_mgr)>(library, "alloc_mb_mgr");
  const auto initialise = symbol<decltype(init_mb_mgr_auto)>(library, "init_mb_mgr_auto");
  IMB_MGR* manager = allocate != nullptr && initialise != nullptr ? allocate(0) : nullptr;
  if (manager == nullptr) return nullptr;
  IMB_ARCH chosen = IMB_ARCH_NONE;
  initialise(manager, &chosen);
  // With these the library takes its code of by 48 blocks; SAFE_DATA: it leaves no key behind in registers or on the stack.
  constexpr std::uint64_t kNeeded = IMB_CPUFLAGS_AVX512 | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_SAFE_DATA;
  const bool tested = (manager->features & IMB_FEATURE_SELF_TEST) == 0 || (manager->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
  return manager->imb_errno == 0 && chosen == IMB_ARCH_AVX512 && (manager->features & kNeeded) == kNeeded && tested ? manager : nullptr;
}

}  // namespace

const IMB_MGR* gcm_library() {
  static const IMB_MGR* const loaded = load();
  return loaded;
}

}  // namespace redoubt::crypto
#endif
