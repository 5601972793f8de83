// SPDX-License-Identifier: Apache-2.0
#include "crypto/identifier.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/secret.h"
#include "crypto/random.h"

namespace redoubt::crypto {
namespace {

constexpr std::size_t kDrawnBytes = 4096, kIdentifierMax = 64;

// Of one thread. What was handed out is wiped, so that nothing is handed out twice.
struct Drawn {
  std::array<std::uint8_t, kDrawnBytes> bytes{};
  std::size_t used = kDrawnBytes;

  void take(MutableByteView into) {
    if (into.size() > bytes.size() - used) {
      fill_random(bytes);
      used = 0;
    }
    const auto taken = MutableByteView(bytes).subspan(used, into.size());
    std::copy(taken.begin(), taken.end(), into.begin());
    wipe_memory(taken);
    used += into.size();
  }
};

}  // namespace

void draw_identifier(MutableByteView bytes) {
  static thread_local Drawn drawn;
  CHECK(bytes.size() <= kDrawnBytes);
  drawn.take(bytes);
}

std::string draw_identifier(std::size_t bytes) {
  std::array<std::uint8_t, kIdentifierMax> drawn;
  CHECK(bytes <= drawn.size());
  const auto taken = MutableByteView(drawn).first(bytes);
  draw_identifier(taken);
  return to_hex(taken);
}

}  // namespace redoubt::crypto
