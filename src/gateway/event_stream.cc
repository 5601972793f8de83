// SPDX-License-Identifier: Apache-2.0
#include "gateway/event_stream.h"

#include <zlib.h>

#include <cstdint>

#include "base/check.h"

namespace redoubt::gateway {
namespace {

constexpr std::size_t kHeadersMax = 128 << 10, kPayloadMax = 16 << 20;
constexpr char kString = 7;

void append_number(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

std::uint32_t crc_of(const std::string& bytes) {
  return static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

}  // namespace

std::string event_message(std::initializer_list<std::pair<std::string_view, std::string_view>> headers, std::string_view payload) {
  std::string head;
  for (const auto& [name, value] : headers) {
    head += static_cast<char>(name.size());
    head += name;
    head += kString;
    head += static_cast<char>(value.size() >> 8 & 0xff);
    head += static_cast<char>(value.size() & 0xff);
    head += value;
  }
  CHECK(head.size() <= kHeadersMax && payload.size() <= kPayloadMax);
  std::string out;
  append_number(out, static_cast<std::uint32_t>(16 + head.size() + payload.size()));
  append_number(out, static_cast<std::uint32_t>(head.size()));
  append_number(out, crc_of(out));
  out += head;
  out += payload;
  append_number(out, crc_of(out));
  return out;
}

std::string payload_part(std::string_view bytes) {
  return event_message({{":event-type", "PayloadPart"}, {":content-type", "application/octet-stream"}, {":message-type", "event"}}, bytes);
}

std::string stream_failure(std::string_view json) {
  return event_message({{":exception-type", "InternalStreamFailure"}, {":content-type", "application/json"}, {":message-type", "exception"}}, json);
}

}  // namespace redoubt::gateway
