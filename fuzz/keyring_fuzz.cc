// SPDX-License-Identifier: Apache-2.0
//
// keyring.json: once as it comes, and once with its checksum mended, as an attacker would, to get behind it.
#include "base/check.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "fuzz_input.h"
#include "provider/local/keyring.h"

using namespace redoubt;

namespace {

void check(std::string_view text) {
  const auto file = provider::local::parse_keyring(text);
  if (!file) return;
  CHECK(provider::local::encode_keyring(*file) == text);
  CHECK(!provider::local::open_keys(file->keys, Secret::of_size(32)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  check(text);
  auto json = parse_json(text, "fuzz");
  if (json && json->is_object()) {
    json->erase("sha256");
    (*json)["sha256"] = crypto::sha256(dump_json(*json)).hex();
    check(dump_json(*json) + "\n");
  }
  return 0;
}
