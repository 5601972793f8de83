// SPDX-License-Identifier: Apache-2.0
//
// What a person asked, in a request's body or in a row of training data: the one rule by which the drift monitor reads both,
// so that a difference between them is one of the prompts and not of the reading.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"

namespace redoubt::monitor {

// The last message of role "user" (a string, or the text parts of a list, joined), else "prompt" (a string or a list of one),
// "inputs" or "text". Nothing where none of them is there or it is empty. Takes any JSON and never throws.
std::optional<std::string> prompt_of(const Json& body);
// Of JSON text; nothing for text that is no JSON.
std::optional<std::string> prompt_of_text(std::string_view body);
// Of one line of captured data (docs/formats/capture.md).
std::optional<std::string> prompt_of_capture(const Json& line);

}  // namespace redoubt::monitor
