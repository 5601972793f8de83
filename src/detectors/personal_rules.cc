// SPDX-License-Identifier: Apache-2.0
//
// Personal data, under Presidio's names. A number without a check of its own, or with a weak one, needs a word near by that says
// what it is.
#include "detectors/checksums.h"
#include "detectors/rule.h"

namespace redoubt::detectors {
namespace {

constexpr const char* kPhone =
    "phone|phone number|telephone|tel|cell|cellphone|mobile|call|fax|whatsapp|sms|dial|telefon|telefono|teléfono|téléphone|handy|mobil|rufnummer|anrufen|reach|"
    "contact|móvil|celular|hotline|voicemail|reach me";

constexpr Rule kPersonalRules[] = {
    // Anywhere
    {"EMAIL_ADDRESS", R"((?<![A-Za-z0-9._%+\x{80}-\x{10FFFF}-])(?!/?git@[A-Za-z0-9.-]{1,100}+[:/][A-Za-z0-9._~/-])[A-Za-z0-9\x{80}-\x{10FFFF}_%+'&*!#$/=?^`{|}~-](?:[A-Za-z0-9\x{80}-\x{10FFFF}._%+'-]{0,63}+)(?<!\.)@(?:[A-Za-z0-9\x{80}-\x{10FFFF}](?:[A-Za-z0-9\x{80}-\x{10FFFF}-]{0,62}+)\.){1,8}(?:xn--[a-z0-9-]{2,40}|[A-Za-z\x{80}-\x{10FFFF}]{2,24})(?![A-Za-z0-9-]))", nullptr, 0, mail_length, nullptr, {.addresses = 1}},
    {"CREDIT_CARD", R"((?<![0-9A-Za-z.-])[2-68](?:[ -]?[0-9]){12,18}(?![0-9]))", nullptr, 13, card_number_length},
    {"IBAN_CODE", R"(\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30})", nullptr, 2, iban_number_length, nullptr, {.capitals_digits = 1}},
    {"IBAN_CODE", R"((?i)\b[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]){11,30})", "iban|account|konto|compte|cuenta", 2, iban_number_length},
    {"IP_ADDRESS", R"((?<![0-9A-Za-z.])(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:/(?:3[0-2]|[12]?[0-9]))?(?![0-9]|\.[0-9]|[A-Za-z]))", nullptr, 4, nullptr, nullptr, {.hex_dots = 3}},
    {"IP_ADDRESS", R"((?<![0-9A-Za-z:.])(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{2})[0-9A-Fa-f:]{2,39}+(?:\.[0-9]{1,3}){0,3}(?![0-9A-Za-z:]))", nullptr, 0, ipv6_length, nullptr, {.hex_colons = 2}},
    {"MAC_ADDRESS", R"((?<![0-9A-Fa-f:.-])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f:-]))", nullptr, 0, mac_length, nullptr, {.hex_colons = 5}},
    {"MAC_ADDRESS", R"((?<![0-9A-Fa-f:.-])[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f:-]))", nullptr, 0, mac_length, nullptr, {.hex_dashes = 5}},
    {"MAC_ADDRESS", R"((?<![0-9A-Fa-f:.-])(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}(?![0-9A-Fa-f:.-]))", nullptr, 0, mac_length, nullptr, {.hex_dots = 2}},
    {"CRYPTO", R"((?<![A-Za-z0-9])(?:[13][a-km-zA-HJ-NP-Z1-9]{25,34}|(?i:bc1)[a-zA-Z0-9]{11,71})(?![A-Za-z0-9]))", nullptr, 0, wallet_length, nullptr, {.mixed_run = 14}},
    {"CRYPTO", R"((?<![A-Za-z0-9])0x[a-fA-F0-9]{40}(?![A-Za-z0-9]))", nullptr, 0, ethereum_length, "wallet|ethereum|eth|ether|erc20|erc-20|address|send|crypto|metamask|usdt|usdc|pay|token|contract|deposit", {.mixed_run = 42}},
    {"PHONE_NUMBER", R"((?<![0-9A-Za-z.+])\+[1-9][0-9]{0,11}+(?: ?(?:\(0\) ?)?\(?[0-9]{2,5}\)? / (?=[0-9]))?(?:[ ./-]{0,2}+(?:\([0-9]{1,5}\)|[0-9]{1,12}+)){0,7}+(?![0-9]))", nullptr, 6, phone_length},
    {"PHONE_NUMBER", R"((?<![0-9A-Za-z.+])00[1-9][0-9]{0,11}+(?: ?(?:\(0\) ?)?\(?[0-9]{2,5}\)? / (?=[0-9]))?(?:[ ./-]{0,2}+(?:\([0-9]{1,5}\)|[0-9]{1,12}+)){0,7}+(?![0-9]))", nullptr, 10, international_length, kPhone},
    {"PHONE_NUMBER", R"((?<![0-9A-Za-z.+-])(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}(?: ?(?:x|ext\.?) ?[0-9]{1,5})?(?![0-9-]))", nullptr, 10},
    {"PHONE_NUMBER", R"((?<![0-9A-Za-z.+-])(?:0[1-9](?:[ .-][0-9]{2}){4}|\([1-9][0-9]\) ?9?[0-9]{4}-[0-9]{4})(?![0-9A-Za-z-]| [0-9]))", nullptr, 10},
    {"PHONE_NUMBER", R"((?<![0-9A-Za-z.+/-])(?:\(0[0-9]{1,5}\)|0[1-9][0-9]{0,11}+)(?: / (?=[0-9]))?(?:[ /.-]{0,2}+[0-9]{2,8}+){0,5}+(?![0-9A-Za-z]|[-/.][0-9]))", nullptr, 6, national_phone_length, kPhone},
    {"PHONE_NUMBER", R"((?<![0-9A-Za-z.+/-])(?:[2-9][0-9]{2}[ .-]?[0-9]{3}[ .-]?[0-9]{4}|[2-9][0-9]{2}[ .-][0-9]{4}|[6-9][0-9]{4} [0-9]{5})(?![0-9A-Za-z]|[-/.][0-9]))", nullptr, 7, national_phone_length, kPhone},
    // United States
    {"US_SSN", R"((?<![0-9-])(?!000|666|9[0-9]{2})[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9-]))", nullptr, 9, ssn_length},
    {"US_SSN", R"((?<![0-9A-Za-z.-])[0-9]{3}[ .]?[0-9]{2}[ .]?[0-9]{4}(?![0-9A-Za-z-]))", nullptr, 9, ssn_length, "ssn|ssns|social security|ss#|ssn#"},
    {"US_ITIN", R"((?<![0-9-])9[0-9]{2}[ -](?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[ -][0-9]{4}(?![0-9-]))", nullptr, 9},
    {"US_ITIN", R"((?<![0-9A-Za-z-])9[0-9]{2}(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[0-9]{4}(?![0-9A-Za-z-]))", nullptr, 9, nullptr, "itin|taxpayer|tax id|individual taxpayer"},
    {"US_PASSPORT", R"((?<![0-9A-Za-z-])(?:[0-9]{9}|[A-Z][0-9]{8})(?![0-9A-Za-z-]))", "passport", 8, nullptr, "passport|passports"},
    {"US_DRIVER_LICENSE", R"((?<![0-9A-Za-z-])(?:[A-Z][0-9]{3,8}(?:-?[0-9]{3,6}){0,3}|[A-Z]{1,2}[0-9]{5,7}|[0-9]{7,9}|[0-9]{3}-?[A-Z]{2}-?[0-9]{4})(?![0-9A-Za-z-]))", "driver|driving|license|licence|permit", 4, nullptr,
     "driver license|driver's license|drivers license|driver licence|driver's licence|driving license|dl|dl#|permit number|license number|lic#"},
    {"US_BANK_NUMBER", R"((?<![0-9A-Za-z.-])[0-9]{8,17}(?![0-9A-Za-z-]))", "account|acct|bank", 8, nullptr, "bank account|account number|checking account|savings account|debit account|acct|account no|account #|bank"},
    {"ABA_ROUTING_NUMBER", R"((?<![0-9A-Za-z.-])[0-8][0-9]{3}-?[0-9]{4}-?[0-9](?![0-9A-Za-z-]))", "aba|routing|transit|rtn", 9, aba_length, "aba|routing|routing number|transit|rtn|abarouting|bankrouting"},
    {"MEDICAL_LICENSE", R"((?<![0-9A-Za-z-])[abcdefghjklmprstuxABCDEFGHJKLMPRSTUX][a-zA-Z9][0-9]{7}(?![0-9A-Za-z-]))", "dea|medical|certificate|prescri|licen|registration", 7, dea_length,
     "dea|medical|certificate|prescriber|physician|doctor|license|licence|registration|prescription"},
    {"US_NPI", R"((?<![0-9A-Za-z.-])[12][0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}(?![0-9A-Za-z-]))", "npi|provider", 10, npi_length, "npi|national provider|provider identifier|provider id|npi number"},
    {"US_MBI", R"((?<![0-9A-Za-z-])[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}(?![0-9A-Za-z-]))", "mbi|medicare|beneficiary", 1, nullptr, "mbi|medicare|beneficiary"},
    // United Kingdom
    {"UK_NHS", R"((?<![0-9A-Za-z.+-])[0-9]{3}([ -])[0-9]{3}\g{-1}[0-9]{4}(?![0-9A-Za-z-]))", nullptr, 10, nhs_length, "nhs|national health|health service|health number|patient|nhs number|medical record"},
    {"UK_NHS", R"((?<![0-9A-Za-z.+-])[0-9]{3} [0-9]{3} [0-9]{4}(?![0-9A-Za-z-]))", nullptr, 10, nhs_length},
    {"UK_NHS", R"((?<![0-9A-Za-z.+-])[0-9]{10}(?![0-9A-Za-z-]))", "nhs|health|patient", 10, nhs_length, "nhs|national health|health service|health number|patient|nhs number"},
    {"UK_NINO", R"((?<![0-9A-Za-z-])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![0-9A-Za-z-]))", nullptr, 6},
    {"UK_NINO", R"((?i)(?<![0-9a-z-])(?!bg|gb|nk|kn|tn|nt|zz)[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z][ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[a-d](?![0-9a-z-]))", "national insurance|nino|ni number", 6},
    {"UK_PASSPORT", R"((?<![0-9A-Za-z-])[A-Z]{2}[0-9]{7}(?![0-9A-Za-z-]))", "passport", 7, nullptr, "passport|passports"},
    {"UK_DRIVING_LICENCE", R"((?<![0-9A-Za-z-])(?=[A-Z]{1,5}9{0,4}[0-9])[A-Z9]{5}[0-9](?:0[1-9]|1[0-2]|5[1-9]|6[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9](?:99|[A-Z][A-Z9])[A-Z0-9][A-Z]{2}(?![0-9A-Za-z-]))", nullptr, 6, nullptr, nullptr, {.mixed_run = 16}},
    {"UK_POSTCODE", R"((?<![0-9A-Za-z-])(?:GIR 0AA|(?:[A-PR-UWYZ][0-9][0-9A-HJKPSTUW]?|[A-PR-UWYZ][A-HK-Y][0-9][0-9ABEHMNPRVWXY]?) [0-9][ABD-HJLNP-UW-Z]{2})(?![0-9A-Za-z-]))", "post|zip|address|street|road|avenue|lane|london|england|wales|scotland", 1, nullptr, "postcode|post code|postal code|zip|address|street|road|avenue|lane|london|england|wales|scotland|st|rd"},
    {"UK_POSTCODE", R"((?<![0-9A-Za-z-])(?:GIR0AA|(?:[A-PR-UWYZ][0-9][0-9A-HJKPSTUW]?|[A-PR-UWYZ][A-HK-Y][0-9][0-9ABEHMNPRVWXY]?)[0-9][ABD-HJLNP-UW-Z]{2})(?![0-9A-Za-z-]))", "postcode|post code|postal code", 1, nullptr, "postcode|post code|postal code"},
    {"UK_VEHICLE_REGISTRATION", R"((?<![0-9A-Za-z-])[A-HJ-PR-Y]{2}(?:0[2-9]|[12][0-9]|5[1-9]|6[0-9]|7[0-9])[ -]?[A-HJ-PR-Z]{3}(?![0-9A-Za-z-]))", "number plate|licence plate|license plate|registration|vehicle|dvla|v5c", 2, nullptr, "number plate|licence plate|license plate|vehicle registration|registration number|registration|vehicle|vrn|dvla|v5c"},
    // Europe
    {"ES_PASSPORT", R"((?<![0-9A-Za-z-])[A-Z]{3}[0-9]{6}(?![0-9A-Za-z-]))", "passport|pasaporte", 6, nullptr, "passport|passports|pasaporte"},
    {"ES_NIF", R"((?<![0-9A-Za-z-])[0-9]{7,8}-?[A-HJ-NP-TV-Z](?![0-9A-Za-z-]))", nullptr, 7, nif_length},
    {"ES_NIE", R"((?<![0-9A-Za-z-])[XYZ]-?[0-9]{7,8}-?[A-HJ-NP-TV-Z](?![0-9A-Za-z-]))", nullptr, 7, nif_length},
    {"ES_NIF", R"((?i)(?<![0-9a-z-])[0-9]{7,8}-?[a-hj-np-tv-z](?![0-9a-z-]))", "dni|nif", 7, nif_length, "dni|nif"},
    {"ES_NIE", R"((?i)(?<![0-9a-z-])[xyz]-?[0-9]{7,8}-?[a-hj-np-tv-z](?![0-9a-z-]))", "nie", 7, nif_length, "nie"},
    {"IT_FISCAL_CODE", R"((?i)(?<![0-9a-z-])[a-z]{6}[0-9lmnpqrstuv]{2}[abcdehlmprst][0-9lmnpqrstuv]{2}[a-z][0-9lmnpqrstuv]{3}[a-z](?![0-9a-z-]))", nullptr, 0, fiscal_code_length, nullptr, {.mixed_run = 16}},
    {"IT_VAT_CODE", R"((?<![0-9A-Za-z.+-])(?:IT)?[0-9]{11}(?![0-9A-Za-z-]))", "piva|partita|vat|p.iva", 11, it_vat_length, "piva|partita iva|partita|pi|vat|p.iva|p. iva"},
    {"IT_PASSPORT", R"((?i)(?<![0-9a-z-])[a-z]{2}[0-9]{7}(?![0-9a-z-]))", "passaporto|italian passport", 7, nullptr, "passaporto|italian passport"},
    {"IT_IDENTITY_CARD", R"((?i)(?<![0-9a-z-])(?:[a-z]{2}\s?[0-9]{7}|[0-9]{7}[a-z]{2}|[a-z]{2}[0-9]{5}[a-z]{2})(?![0-9a-z-]))", "identità|carta|identity card|cie|elettronica", 5, nullptr, "carta|identità|elettronica|cie|italian identity card"},
    {"IT_DRIVER_LICENSE", R"((?i)(?<![0-9a-z-])(?:[a-z]{2}[0-9]{7}[a-z]|u1[a-z0-9]{7}[a-z])(?![0-9a-z-]))", "patente|italian driv", 1, nullptr, "patente|patente di guida|italian driver|italian driving"},
    {"PL_PESEL", R"((?<![0-9A-Za-z.+-])[0-9]{11}(?![0-9A-Za-z-]))", "pesel|polish|polski|numer", 11, pesel_length, "pesel|polish|numer ewidencyjny|polski"},
    {"FI_PERSONAL_IDENTITY_CODE", R"((?i)(?<![0-9a-z-])[0-9]{6}[+ABCDEFYXWVU-][0-9]{3}[0-9A-FHJ-NPR-Y](?![0-9a-z-]))", nullptr, 6, hetu_length},
    {"SE_PERSONNUMMER", R"((?<![0-9A-Za-z.-])(?:18|19|20)?[0-9]{6}[-+][0-9]{4}(?![0-9A-Za-z-]))", nullptr, 10, personnummer_length},
    {"SE_PERSONNUMMER", R"((?<![0-9A-Za-z.-])(?:18|19|20)?[0-9]{10}(?![0-9A-Za-z-]))", "personnummer|samordningsnummer|swedish|personal identity", 10, personnummer_length, "personnummer|svenskt|personal identity number|samordningsnummer|swedish"},
    {"DE_TAX_ID", R"((?<![0-9A-Za-z.+-])[1-9][0-9](?: ?[0-9]{3}){3}(?![0-9A-Za-z-]))", "steuer|idnr|tin|tax id|identifikation", 11, steuer_id_length, "steueridentifikationsnummer|steuer-id|steuerid|steuer-idnr|idnr|identifikationsnummer|steuernummer|tin|tax id|steuer"},
    {"DE_SOCIAL_SECURITY", R"((?<![0-9A-Za-z-])[0-9]{2} ?[0-9]{6} ?[A-Z] ?[0-9]{3}(?![0-9A-Za-z-]))", nullptr, 8, rvnr_length},
    {"DE_HEALTH_INSURANCE", R"((?<![0-9A-Za-z-])[A-Z][0-9]{9}(?![0-9A-Za-z-]))", nullptr, 9, kvnr_length, "krankenversichertennummer|krankenversicherungsnummer|versichertennummer|kvnr|krankenkasse|gesundheitskarte|health insurance|barmer|tk|aok|dak"},
    {"DE_PASSPORT", R"((?<![0-9A-Za-z-])[CFGHJK][CFGHJKLMNPRTVWXYZ0-9]{7,8}[0-9](?![0-9A-Za-z-]))", "pass", 1, de_document_length, "reisepass|passnummer|reisepassnummer|passport|pass-nr|pass"},
    {"DE_ID_CARD", R"((?<![0-9A-Za-z-])[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{7,8}[0-9](?![0-9A-Za-z-]))", "ausweis|identity card|id card", 1, de_id_card_length, "personalausweis|ausweis|ausweisnummer|personalausweisnummer|identity card|id card"},
    {"DE_VAT_ID", R"((?i)(?<![0-9a-z-])de[ .-]?[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{3}(?![0-9a-z-]))", "ust|vat|umsatzsteuer|mehrwertsteuer", 9, nullptr, "ust-idnr|ust-id|ustid|ustidnr|umsatzsteuer|umsatzsteuer-identifikationsnummer|mehrwertsteuer|vat"},
    {"DE_FUEHRERSCHEIN", R"((?<![0-9A-Za-z-])[A-Z][A-Z0-9][0-9]{8}[A-Z0-9](?![0-9A-Za-z-]))", "führerschein|fahrerlaubnis|driving licen", 8, nullptr, "führerschein|führerscheinnummer|fahrerlaubnis|fahrerlaubnisnummer|german driving licence|german driving license"},
    {"DE_TAX_NUMBER", R"((?<![0-9A-Za-z.+/-])(?:(?:0[1-9]|1[0-6])[0-9]{11}|[0-9]{2,3}/[0-9]{3,4}/[0-9]{4,5})(?![0-9A-Za-z/-]))", "steuer|finanzamt|st.-nr|st-nr", 10, nullptr, "steuernummer|steuer-nr|steuernr|st.-nr|st-nr|finanzamt|steuerbescheid"},
    // Asia, Pacific, Africa, the Americas
    {"AU_ABN", R"((?<![0-9A-Za-z.+-])[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}(?![0-9A-Za-z-]| [0-9]))", "abn|australian business|business number", 11, abn_length, "abn|australian business number|business number"},
    {"AU_ACN", R"((?<![0-9A-Za-z.+-])[0-9]{3} ?[0-9]{3} ?[0-9]{3}(?![0-9A-Za-z-]| [0-9]))", "acn|australian company|company number", 9, acn_length, "acn|australian company number|company number"},
    {"AU_TFN", R"((?<![0-9A-Za-z.+-])[0-9]{3} ?[0-9]{3} ?[0-9]{3}(?![0-9A-Za-z-]| [0-9]))", "tfn|tax file", 9, tfn_length, "tfn|tax file number|tax file"},
    {"AU_MEDICARE", R"((?<![0-9A-Za-z.+-])[2-6][0-9]{3} ?[0-9]{5} ?[0-9](?:[ /-][0-9])?(?![0-9A-Za-z]|[ -][0-9]))", "medicare", 10, au_medicare_length, "medicare|medicare number|medicare card"},
    {"IN_AADHAAR", R"((?<![0-9A-Za-z.+-])[2-9][0-9]{3}([ -]?)[0-9]{4}\g{-1}[0-9]{4}(?![0-9A-Za-z]|[ -][0-9]))", nullptr, 12, aadhaar_length, "aadhaar|aadhar|uidai|adhar|uid"},
    {"IN_AADHAAR", R"((?<![0-9A-Za-z.+-])(?<![0-9][ -])[2-9][0-9]{3}([ -])[0-9]{4}\g{-1}[0-9]{4}(?![0-9A-Za-z]|[ -][0-9]))", nullptr, 12, aadhaar_length},
    {"IN_PAN", R"((?<![0-9A-Za-z-])[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z](?![0-9A-Za-z-]))", nullptr, 4, nullptr, nullptr, {.mixed_run = 10}},
    {"IN_GSTIN", R"((?<![0-9A-Za-z-])[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z](?![0-9A-Za-z-]))", nullptr, 4, gstin_length, nullptr, {.mixed_run = 15}},
    {"IN_PASSPORT", R"((?<![0-9A-Za-z-])[A-Z][1-9][0-9]{2} ?[0-9]{4}[1-9]?(?![0-9A-Za-z-]))", "passport", 7, nullptr, "indian passport"},
    {"IN_PASSPORT", R"((?<![0-9A-Za-z-])[A-Z][1-9][0-9]{2} ?[0-9]{4}(?![0-9A-Za-z-]))", "passport", 7, nullptr, "passport|passports"},
    {"IN_VEHICLE_REGISTRATION", R"((?<![0-9A-Za-z-])(?:[A-Z]{2}[ -]?[0-9]{1,2}[ -]?[A-Z]{1,3}[ -]?(?!0000)[0-9]{4}|[2-9][1-9] ?BH ?[0-9]{4} ?[A-HJ-NP-Z]{1,2})(?![0-9A-Za-z-]))", "vehicle|number plate|registration", 4, nullptr, "vehicle|plate|rto|registration"},
    {"IN_VOTER", R"((?<![0-9A-Za-z-])[A-Z]{3}[0-9]{7}(?![0-9A-Za-z-]))", "voter|epic|elector", 7, nullptr, "voter|epic|elector|voter id"},
    {"SG_NRIC_FIN", R"((?<![0-9A-Za-z-])[STFGM][0-9]{7}[A-Z](?![0-9A-Za-z-]))", nullptr, 7, nric_length, nullptr, {.mixed_run = 9}},
    {"SG_NRIC_FIN", R"((?i)(?<![0-9a-z-])[stfgm][0-9]{7}[a-z](?![0-9a-z-]))", "nric|fin", 7, nric_length, "nric|fin|fin#|nric#"},
    {"KR_RRN", R"((?<![0-9A-Za-z.-])[0-9]{6}-[1-4][0-9]{6}(?![0-9A-Za-z-]))", nullptr, 13, rrn_length},
    {"KR_RRN", R"((?<![0-9A-Za-z.-])[0-9]{6}[1-4][0-9]{6}(?![0-9A-Za-z-]))", "rrn|resident|주민", 13, rrn_length, "rrn|korean rrn|resident registration|주민등록번호|주민번호"},
    {"KR_BRN", R"((?<![0-9A-Za-z.-])[0-9]{10}(?![0-9A-Za-z-]))", "brn|business registration|사업자", 10, kr_brn_length, "brn|korean brn|business registration|사업자등록번호"},
    {"KR_BRN", R"((?<![0-9A-Za-z.-])[0-9]{3}-[0-9]{2}-[0-9]{5}(?![0-9A-Za-z-]))", nullptr, 10, kr_brn_length},
    {"KR_FRN", R"((?<![0-9A-Za-z.-])[0-9]{6}-[5-8][0-9]{6}(?![0-9A-Za-z-]))", nullptr, 13, frn_length},
    {"KR_FRN", R"((?<![0-9A-Za-z.-])[0-9]{6}[5-8][0-9]{6}(?![0-9A-Za-z-]))", "frn|foreigner|외국인", 13, frn_length, "frn|korean frn|foreigner registration|외국인등록번호|외국인번호"},
    {"KR_PASSPORT", R"((?<![0-9A-Za-z-])[MSROD][0-9]{3}[A-Z][0-9]{4}(?![0-9A-Za-z-]))", "passport|여권", 4, nullptr, "passport|passports|여권"},
    {"KR_DRIVER_LICENSE", R"((?<![0-9A-Za-z.-])(?:1[1-9]|2[0-68])[- ]?[0-9]{2}[- ]?[0-9]{6}[- ]?[0-9]{2}(?![0-9A-Za-z-]))", "driver|면허", 12, nullptr, "korean driver license|korean driver's license|면허번호|운전면허|운전면허번호"},
    {"NG_NIN", R"((?<![0-9A-Za-z.+-])[0-9]{11}(?![0-9A-Za-z-]))", "nin|nimc|national ident|nigeria", 11, ng_nin_length, "nin|nimc|national identification number|national identity number|nigeria|nigerian"},
    {"PH_TIN", R"((?<![0-9A-Za-z.+-])[0-9]{3}([ -]?)[0-9]{3}\g{-1}[0-9]{3}(?:\g{-1}[0-9]{3})?(?![0-9A-Za-z-]))", "tin|taxpayer|bir|tax id", 9, ph_tin_length, "tin|bir|taxpayer identification number|taxpayer id"},
    {"TH_TNIN", R"((?<![0-9A-Za-z.+-])[1-9]-?[0-9]{4}-?[0-9]{5}-?[0-9]{2}-?[0-9](?![0-9A-Za-z-]))", "thai|tnin|บัตร|ประชาชน|national id", 13, tnin_length, "thai|thailand|tnin|national id|บัตรประชาชน|เลขประจำตัวประชาชน|เลขประจำตัว"},
    {"TR_NATIONAL_ID", R"((?<![0-9A-Za-z.+-])[1-9][0-9]{10}(?![0-9A-Za-z-]))", "kimlik|tckn|t.c|tc|turkish", 11, tr_id_length, "tc kimlik|kimlik|tckn|t.c|tc|turkish|kimlik numarası"},
    {"ZA_ID_NUMBER", R"((?<![0-9A-Za-z.+-])[0-9]{13}(?![0-9A-Za-z-]))", "south africa|rsa|id number|identity", 13, za_id_length, "south african|south africa|rsa|id number|identity number|rsa id"},
    {"CA_SIN", R"((?<![0-9A-Za-z.+-])[1-79][0-9]{2}([ -]?)[0-9]{3}\g{-1}[0-9]{3}(?![0-9A-Za-z-]| [0-9]))", "sin|social insurance", 9, sin_length, "sin|social insurance|social insurance number|canadian"},
    {"CA_POSTAL_CODE", R"((?<![0-9A-Za-z-])[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] ?[0-9][ABCEGHJ-NPRSTV-Z][0-9](?![0-9A-Za-z-]))", "postal|canad|ontario|quebec|toronto|address", 1, nullptr, "postal code|postal|canada|canadian|ontario|quebec|toronto|address|vancouver|montreal"},
    // Off unless a policy names it
    {"URL", R"((?i)\bhttps?://[^\s<>"'`{}|\\^]{2,2000}+)", "http://|https://"},
};

}  // namespace

std::span<const Rule> personal_rules() { return kPersonalRules; }

}  // namespace redoubt::detectors
