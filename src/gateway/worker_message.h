// SPDX-License-Identifier: Apache-2.0
//
// The worker protocol's larger messages (docs/formats/worker-protocol.md).
#pragma once

#include <cstdint>

#include "base/json.h"
#include "openai/answer.h"
#include "openai/request.h"

namespace redoubt::gateway {

// A request as the engine reads it; what has its default is left out.
Json generate_message(std::uint64_t id, const openai::GenerateRequest& request);

// The text and logprobs of a `token` event; unavailable when the worker sent something else.
Result<openai::Piece> parse_piece(const Json& event);

}  // namespace redoubt::gateway
