// SPDX-License-Identifier: Apache-2.0
//
// The outside of a model signature: a sigstore bundle 0.3 (docs/formats/attestation.md). Reading it verifies nothing.
#pragma once

#include "attest/dsse.h"

namespace redoubt::attest {

inline constexpr std::size_t kModelSignatureBytesMax = 16 << 20;

struct ModelBundle {
  Envelope envelope;         // with exactly one signature
  std::string hint;          // which key signed; empty where certificates say so
  std::vector<Bytes> chain;  // certificates in DER, the signer's first; empty where a key is named
};

// How a bundle names a key: SHA-256 over its PEM text, in hexadecimal.
std::string key_hint_of(const crypto::PublicKey& key);

std::string to_text(const ModelBundle& bundle);
// invalid_argument: another version, unknown members, neither or both kinds of material, entries of a transparency log or time
// stamps (nobody here checks them), more than one signature.
Result<ModelBundle> parse_model_bundle(std::string_view text, std::string_view where);

}  // namespace redoubt::attest
