// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an HTTP request. Reading them in one piece or byte by byte has to come to the same.
#include <cstdlib>

#include "base/bytes.h"
#include "http/parser.h"

using namespace redoubt;
using namespace redoubt::http;

namespace {

struct Outcome {
  int status = 1;  // 0: a whole request; 1: waits for more; else refused with it
  std::string body;
  std::size_t used = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome read_body(const RequestHead& head, std::string_view rest, std::size_t step) {
  BodyParser parser(head, 1000);
  Outcome outcome;
  while (!parser.done() && outcome.used < rest.size()) {
    auto used = parser.consume(rest.substr(outcome.used, step), outcome.body);
    if (!used) return {used.error().status, {}, 0};
    outcome.used += *used;
  }
  outcome.status = parser.done() ? 0 : 1;
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ParserLimits limits{.head_bytes_max = 4096, .target_bytes_max = 1024, .headers_max = 16, .body_bytes_max = 1000};
  auto whole = find_head_end(text, 0, limits);
  if (!whole || *whole == 0) return 0;
  for (std::size_t end = 1; end <= *whole; ++end) {
    auto partial = find_head_end(text.substr(0, end), end - 1, limits);
    if (!partial || *partial != (end == *whole ? *whole : 0)) std::abort();
  }
  auto head = parse_head(text.substr(0, *whole), limits);
  if (!head) return 0;
  if (!path_segments(head->request.path)) std::abort();
  auto rest = text.substr(*whole);
  if (read_body(*head, rest, rest.size() + 1) != read_body(*head, rest, 1)) std::abort();
  return 0;
}
