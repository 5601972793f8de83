// SPDX-License-Identifier: Apache-2.0
//
// For this folder: what stands in a certificate that OpenSSL has read already.
#pragma once

#include <openssl/types.h>

#include "crypto/x509.h"

namespace redoubt::crypto {

Result<CertificateInfo> info_of(X509* certificate);

}  // namespace redoubt::crypto
