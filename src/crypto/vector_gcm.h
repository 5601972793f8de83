// SPDX-License-Identifier: Apache-2.0
//
// AES-256-GCM with instructions that do four blocks at a time (VAES and VPCLMULQDQ on AVX-512), some 2.5 times as fast as OpenSSL
// 3.0, which lacks them. The code is libIPSec_MB's (Intel Multi-Buffer Crypto for IPsec, Debian's libipsec-mb1). It is loaded where it is
// installed and the processor has them, and given to OpenSSL as a provider of this one cipher, so that TLS and our own sealing, and
// libcurl's TLS too, take it alike; everywhere else all stays with OpenSSL's. Nothing but the speed differs.
#pragma once

namespace redoubt::crypto {

// Has OpenSSL prefer the fast cipher from here on, in the whole process; does nothing where there is none, and where the
// machine's configuration holds OpenSSL to validated (FIPS) modules. True where it is used. Safe to call from several threads, and
// cheap from the second call on; what fetched its cipher earlier keeps that one.
bool prefer_vector_gcm();

// The property query that has OpenSSL fetch AES-256-GCM from there.
inline constexpr const char* kVectorGcm = "provider=redoubt";

}  // namespace redoubt::crypto
