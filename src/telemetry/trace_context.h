// SPDX-License-Identifier: Apache-2.0
//
// W3C Trace Context (www.w3.org/TR/trace-context), version 00.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace redoubt::telemetry {

struct TraceContext {
  std::string trace_id;  // 32 hexadecimal digits, not all 0
  std::string span_id;   // 16
  bool sampled = false;
};

// Nothing for what is no traceparent; a version that is not known yet is read as far as version 00 goes.
std::optional<TraceContext> parse_traceparent(std::string_view header);
std::string to_traceparent(const TraceContext& context);
std::string new_span_id();
// A span below the parent, or of a trace of its own.
TraceContext new_span(const std::optional<TraceContext>& parent, bool sampled);

}  // namespace redoubt::telemetry
