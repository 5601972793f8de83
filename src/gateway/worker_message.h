// SPDX-License-Identifier: Apache-2.0
//
// What an engine is asked (docs/formats/worker-protocol.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "openai/request.h"

namespace redoubt::gateway {

// A request as the engine reads it, but for its type, id and scope: a JSON object. What has its default is left out.
// Of a request with texts what `read` takes, else what `generate` does.
std::string generate_options(const openai::GenerateRequest& request);
// The line that asks for it, without its end; an empty scope is left out.
std::string generate_line(std::uint64_t id, std::string_view options, std::string_view scope, std::string_view type = "generate");
std::string cancel_line(std::uint64_t id);
std::string ping_line(std::uint64_t number);

}  // namespace redoubt::gateway
