// SPDX-License-Identifier: Apache-2.0
//
// Numbers that carry their own check: payment cards and bank accounts. A candidate may run on into what follows it, so the
// functions answer how much of its start is a real number.
#pragma once

#include <cstddef>
#include <string_view>

namespace redoubt::detectors {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// ISO/IEC 7812-1 annex B over the digits of a text; 12 to 19 digits.
bool passes_luhn(std::string_view text);
// ISO 13616 mod-97 check; any country's length.
bool passes_iban_check(std::string_view text);

// The bytes of the longest start of `text` (digits, spaces and hyphens) that is a card number: an issuer's prefix, a length
// that this issuer uses, groups as cards have them, and Luhn's check. 0 when none is.
std::size_t card_length(std::string_view text);
// The same for an IBAN (capitals, digits, spaces) of the length that the SWIFT registry gives for its country.
std::size_t iban_length(std::string_view text);

}  // namespace redoubt::detectors
