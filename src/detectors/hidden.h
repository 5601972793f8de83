// SPDX-License-Identifier: Apache-2.0
//
// Characters that a reader does not see and a model does.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "detectors/detectors.h"
#include "detectors/json_text.h"

namespace redoubt::detectors {

// HIDDEN_TAG, BIDI_CONTROL, ZERO_WIDTH, CONTROL_CHARACTER and MOJIBAKE in the order of their places; neighbours of one kind are one match.
// What scripts need is none: joiners inside Persian, Indic and emoji, one variation selector after a character, the flags of
// England, Scotland and Wales. The text is UTF-8.
void find_hidden(std::string_view text, std::vector<Match>& matches);

// The text as a reader sees it, for detectors: invisible characters gone, wide forms, symbols that are letters, dashes, spaces and digits of
// other scripts as ASCII has them, and so Greek and Cyrillic letters that look like ASCII's within a word of those. Nothing where that is
// the text itself.
std::optional<JsonText> as_seen(std::string_view text);

}  // namespace redoubt::detectors
