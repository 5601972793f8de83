// SPDX-License-Identifier: Apache-2.0
//
// tokenizer.json, and text through what it describes. The bytes before the first NUL are the file, or where they are short a list
// of the parts that a file is put together from; those after it the text.
#include <array>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/tokenizer/tokenizer.h"
#include "fuzz_input.h"

using namespace redoubt;
using namespace redoubt::engine::tokenizer;

namespace {

Json part(const char* text) { return Json::parse(text); }

Json model_of(std::uint8_t choice) {
  static const std::array<Json, 5> kModels = {
      part(R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ã": 4, "©": 5}, "merges": ["a b"]})"),
      part(R"({"type": "BPE", "vocab": {"<unk>": 0, "a": 1, "▁": 2, "▁a": 3, "<0xC3>": 4}, "merges": [["▁", "a"]], "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true})"),
      part(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1.5], ["▁a", -2], ["aa", -2.25]], "byte_fallback": true})"),
      part(R"({"type": "WordPiece", "unk_token": "u", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": {"u": 0, "a": 1, "##a": 2, "##aé": 3}})"),
      part(R"({"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0, "a": 1}})")};
  return kModels[choice % kModels.size()];
}

Json normalizer_of(std::uint8_t choice) {
  static const std::array<Json, 12> kNormalizers = {
      Json(), part(R"({"type": "NFC"})"), part(R"({"type": "NFKD"})"), part(R"({"type": "Lowercase"})"), part(R"({"type": "StripAccents"})"),
      part(R"({"type": "Strip", "strip_left": true, "strip_right": true})"), part(R"({"type": "Nmt"})"), part(R"({"type": "Prepend", "prepend": "▁"})"),
      part(R"({"type": "Replace", "pattern": {"Regex": "\\s*|^"}, "content": "▁a"})"), part(R"({"type": "ByteLevel"})"),
      part(R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true})"),
      part(R"({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})")};
  return kNormalizers[choice % kNormalizers.size()];
}

Json pre_tokenizer_of(std::uint8_t choice) {
  static const std::array<Json, 12> kPreTokenizers = {
      Json(), part(R"({"type": "ByteLevel", "add_prefix_space": true, "use_regex": true})"), part(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"})"),
      part(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false})"), part(R"({"type": "Whitespace"})"), part(R"({"type": "BertPreTokenizer"})"),
      part(R"({"type": "UnicodeScripts"})"), part(R"({"type": "Digits", "individual_digits": false})"), part(R"({"type": "FixedLength", "length": 3})"),
      part(R"({"type": "Punctuation", "behavior": "MergedWithNext"})"), part(R"({"type": "Split", "pattern": {"Regex": "\\b\\w|(?=a)|[^\\P{L}a]"}, "behavior": "MergedWithPrevious", "invert": true})"),
      part(R"({"type": "Sequence", "pretokenizers": [{"type": "CharDelimiterSplit", "delimiter": "b"}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})")};
  return kPreTokenizers[choice % kPreTokenizers.size()];
}

Json decoder_of(std::uint8_t choice) {
  static const std::array<Json, 8> kDecoders = {
      Json(), part(R"({"type": "ByteLevel"})"), part(R"({"type": "Metaspace", "replacement": "▁"})"), part(R"({"type": "WordPiece", "prefix": "##", "cleanup": true})"),
      part(R"({"type": "BPEDecoder", "suffix": "a"})"), part(R"({"type": "ByteFallback"})"),
      part(R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})"),
      part(R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteLevel"}, {"type": "Metaspace", "replacement": "▁"}]})")};
  return kDecoders[choice % kDecoders.size()];
}

// A file made of the parts that the first five bytes name; an added token of the bytes after them.
std::string assembled(std::string_view choices) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(choices[i]); };
  Json added = Json::array();
  const auto content = choices.substr(5);
  if (!content.empty() && find_invalid_utf8(content) == std::string_view::npos) {
    added.push_back({{"id", 9}, {"content", content}, {"special", (byte(4) & 1) != 0}, {"single_word", (byte(4) & 2) != 0}, {"lstrip", (byte(4) & 4) != 0},
                     {"rstrip", (byte(4) & 8) != 0}, {"normalized", (byte(4) & 16) != 0}});
  }
  return dump_json({{"added_tokens", added}, {"model", model_of(byte(0))}, {"normalizer", normalizer_of(byte(1))}, {"pre_tokenizer", pre_tokenizer_of(byte(2))}, {"decoder", decoder_of(byte(3))}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto all = fuzz_text(data, size);
  const auto middle = all.find('\0');
  const auto head = all.substr(0, middle);
  const auto tokenizer = Tokenizer::parse(head.size() >= 5 && head.size() < 24 ? assembled(head) : std::string(head), "fuzz");
  if (!tokenizer || middle == std::string_view::npos) return 0;
  const auto ids = (*tokenizer)->encode(all.substr(middle + 1));
  if (!ids) return 0;
  const auto text = (*tokenizer)->decode(*ids, OnDecode::keep_special_tokens);
  CHECK(text && find_invalid_utf8(*text) == std::string_view::npos);
  auto stream = (*tokenizer)->stream(OnDecode::keep_special_tokens);
  std::string streamed;
  for (const auto id : *ids) {
    CHECK(id >= 0 && id < (*tokenizer)->vocabulary_size());
    const auto piece = stream.push(id);
    CHECK(find_invalid_utf8(piece) == std::string_view::npos);
    streamed += piece;
  }
  CHECK(streamed + stream.finish() == *text);
  return 0;
}
