// SPDX-License-Identifier: Apache-2.0
//
// Messages of application/vnd.amazon.eventstream (smithy.io/2.0/aws/amazon-eventstream.html), as SageMaker streams an answer: prelude
// with lengths and a CRC-32, headers, payload, and a CRC-32 over everything.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace redoubt::gateway {

inline constexpr const char* kEventStreamType = "application/vnd.amazon.eventstream";

// Header values are strings. A CHECK keeps headers and payload within the format's 128 KiB and 16 MiB.
std::string event_message(std::initializer_list<std::pair<std::string_view, std::string_view>> headers, std::string_view payload);
// A piece of an answer.
std::string payload_part(std::string_view bytes);
// The stream's last message when it fails: an InternalStreamFailure.
std::string stream_failure(std::string_view json);

}  // namespace redoubt::gateway
