// SPDX-License-Identifier: Apache-2.0
//
// What of a text that is still coming may be decided on. A detector's candidate is one run without white space, or several of which each
// but the first (of at most three letters) holds digits; a word that makes it one stands within 50 bytes after it.
#pragma once

#include <string_view>

namespace redoubt::guards {

// From where on `text` may hold the beginning of something that more text would make a finding, or make another. The text is as
// detectors see it (detectors::as_seen), and what begins at the answer or later stays undecided.
std::size_t undecided_from(std::string_view text);

// The last place at or before `limit` where a look at the text may begin as if nothing stood before it: no candidate goes over it. 0 if
// there is none.
std::size_t fresh_start(std::string_view text, std::size_t limit);

}  // namespace redoubt::guards
