// SPDX-License-Identifier: Apache-2.0
//
// Numbers of persons, firms and accounts that carry their own check. Each answers how much of the start of a candidate is real:
// all of it or 0. The separators that people write between the digits do not count.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "detectors/rule.h"

namespace redoubt::detectors {

// Letters and digits alone, letters as capitals.
std::string compact(std::string_view text);

std::size_t abn_length(const Candidate& candidate);           // Australia, business: modulus 89
std::size_t acn_length(const Candidate& candidate);           // Australia, company: modulus 10
std::size_t tfn_length(const Candidate& candidate);           // Australia, tax file: modulus 11
std::size_t au_medicare_length(const Candidate& candidate);   // Australia, Medicare: modulus 10
std::size_t nhs_length(const Candidate& candidate);           // United Kingdom, NHS: modulus 11
std::size_t aadhaar_length(const Candidate& candidate);       // India: Verhoeff
std::size_t gstin_length(const Candidate& candidate);         // India, GST: modulus 36
std::size_t nif_length(const Candidate& candidate);           // Spain, NIF and NIE: modulus 23
std::size_t fiscal_code_length(const Candidate& candidate);   // Italy, codice fiscale: modulus 26
std::size_t it_vat_length(const Candidate& candidate);        // Italy, partita IVA: Luhn
std::size_t pesel_length(const Candidate& candidate);         // Poland: weights 1 3 7 9 and a date
std::size_t nric_length(const Candidate& candidate);          // Singapore, NRIC and FIN
std::size_t sin_length(const Candidate& candidate);           // Canada, SIN: Luhn over nine digits
std::size_t personnummer_length(const Candidate& candidate);  // Sweden: Luhn and a date
std::size_t hetu_length(const Candidate& candidate);          // Finland: modulus 31 and a date
std::size_t rrn_length(const Candidate& candidate);           // Korea, resident: modulus 11 and a date
std::size_t kr_brn_length(const Candidate& candidate);        // Korea, business
std::size_t frn_length(const Candidate& candidate);           // Korea, foreigner: modulus 11 and a date
std::size_t ng_nin_length(const Candidate& candidate);        // Nigeria: Verhoeff
std::size_t ph_tin_length(const Candidate& candidate);        // Philippines, tax: modulus 11
std::size_t tnin_length(const Candidate& candidate);          // Thailand: modulus 11
std::size_t tr_id_length(const Candidate& candidate);         // Turkey
std::size_t za_id_length(const Candidate& candidate);         // South Africa: Luhn and a date
std::size_t steuer_id_length(const Candidate& candidate);     // Germany, tax id: ISO 7064 MOD 11,10
std::size_t rvnr_length(const Candidate& candidate);          // Germany, pension insurance
std::size_t kvnr_length(const Candidate& candidate);          // Germany, health insurance
std::size_t de_document_length(const Candidate& candidate);   // Germany, identity card and passport: ICAO 9303's check digit
std::size_t de_id_card_length(const Candidate& candidate);    // the same, and the old cards' numbers
std::size_t dea_length(const Candidate& candidate);           // USA, DEA registration
std::size_t npi_length(const Candidate& candidate);           // USA, provider: Luhn over 80840 and the number
std::size_t aba_length(const Candidate& candidate);           // USA, bank routing: weights 3 7 1
std::size_t ssn_length(const Candidate& candidate);           // USA: no check digit, but numbers that are never given
std::size_t wallet_length(const Candidate& candidate);        // Bitcoin: base58check, bech32, bech32m
std::size_t ethereum_length(const Candidate& candidate);      // 0x and 40 hexadecimal digits that are not all alike
std::size_t mail_length(const Candidate& candidate);          // no name of a file
std::size_t mac_length(const Candidate& candidate);           // not all zeros, not broadcast
std::size_t ipv6_length(const Candidate& candidate);          // as inet_pton reads it
std::size_t phone_length(const Candidate& candidate);         // an international number of a calling code that is given out
std::size_t international_length(const Candidate& candidate);  // the same after 00
std::size_t national_phone_length(const Candidate& candidate);
std::size_t card_number_length(const Candidate& candidate);   // numbers.h
std::size_t iban_number_length(const Candidate& candidate);   // numbers.h
// Of secrets: the parts of a JWT are JSON with "alg"; a Discord token begins with a user's number; Basic's credentials are a name
// and a password.
std::size_t jwt_length(const Candidate& candidate);
std::size_t base64_jwt_length(const Candidate& candidate);
std::size_t discord_length(const Candidate& candidate);
std::size_t basic_length(const Candidate& candidate);

}  // namespace redoubt::detectors
