// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 (RFC 3629): strict reading, and the replacement of what is not UTF-8 as Unicode (chapter 3.9, "substitution of
// maximal subparts") and Rust's from_utf8_lossy do it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace redoubt {

// What stands at the start of some bytes.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Utf8Step {
  enum Kind {
    whole,      // `size` bytes are the code point
    bad,        // `size` bytes can never become a code point
    unfinished  // the bytes end inside what may become one
  } kind = whole;
  std::uint32_t code_point = 0;
  std::size_t size = 0;
};

// `bytes` must not be empty.
Utf8Step utf8_step(std::string_view bytes);

// The offset of the first byte that is not UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view bytes);

void append_utf8(std::string& to, std::uint32_t code_point);

// Appends `bytes` to `to` with U+FFFD for what is not UTF-8. Stops before an unfinished code point and answers the offset
// where it stopped, which is the size of `bytes` when nothing is left over.
std::size_t append_lossy(std::string& to, std::string_view bytes);

// Turns a stream of byte strings into valid UTF-8: nothing that later bytes could still complete is handed out.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  // What is left at the end, which is at most one U+FFFD.
  std::string finish();

 private:
  std::string held_;
};

}  // namespace redoubt
