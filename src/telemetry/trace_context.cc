// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_context.h"

#include <algorithm>

#include "crypto/identifier.h"

namespace redoubt::telemetry {
namespace {

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_id(std::string_view text) { return is_hex(text) && text.find_first_not_of('0') != text.npos; }
int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view header) {
  constexpr std::size_t kLength = 55;
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  const auto version = header.substr(0, 2), trace = header.substr(3, 32), span = header.substr(36, 16), flags = header.substr(53, 2);
  if (!is_hex(version) || version == "ff" || !is_id(trace) || !is_id(span) || !is_hex(flags)) return std::nullopt;
  if (header.size() > kLength && (version == "00" || header[kLength] != '-')) return std::nullopt;
  return TraceContext{std::string(trace), std::string(span), (digit(flags[1]) & 1) != 0};
}

std::string to_traceparent(const TraceContext& context) { return "00-" + context.trace_id + "-" + context.span_id + (context.sampled ? "-01" : "-00"); }

std::string new_span_id() { return crypto::draw_identifier(8); }

TraceContext new_span(const std::optional<TraceContext>& parent, bool sampled) {
  return {parent ? parent->trace_id : crypto::draw_identifier(16), new_span_id(), parent ? parent->sampled : sampled};
}

}  // namespace redoubt::telemetry
