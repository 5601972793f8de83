// SPDX-License-Identifier: Apache-2.0
//
// The functions of libIPSec_MB that the provider in vector_gcm.cc is made of.
#pragma once

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#define REDOUBT_HAS_GCM_LIBRARY 1
#include <intel-ipsec-mb.h>

namespace redoubt::crypto {

// Null where the library is not installed, the processor lacks an instruction, or the library's own test of itself failed. Loaded once,
// and kept. Its functions for AES-GCM keep no state but what they are given, so threads may share it.
const IMB_MGR* gcm_library();

}  // namespace redoubt::crypto
#endif
