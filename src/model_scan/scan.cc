// SPDX-License-Identifier: Apache-2.0
#include "model_scan/scan.h"

#include <fmt/format.h>

#include "model_scan/decoder.h"
#include "model_scan/hdf5_references.h"
#include "model_scan/pickle_start.h"
#include "model_scan/sentencepiece.h"
#include "model_scan/tar_reader.h"
#include "model_scan/zip_reader.h"
#include "weights/gguf.h"
#include "weights/gguf_reader.h"
#include "weights/safetensors.h"

namespace redoubt::model_scan {
namespace {

constexpr std::uint64_t kTemplateBytesMax = 64 << 20;
constexpr std::size_t kFindingsMax = 10'000, kMagicBytes = 64 << 10;
constexpr int kContainersDepthMax = 8;

// What an error of reading says about the machine, not about the file.
bool is_machines(ErrorCode code) { return code == ErrorCode::tampered || code == ErrorCode::unavailable || code == ErrorCode::internal; }

Result<Bytes> read_start(const RandomAccess& object, std::size_t bytes_max) {
  Bytes bytes(static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, object.size())));
  TRY(object.read_at(0, bytes));
  return bytes;
}

// A file of such a name may be what its contents say; any other must be what its name says.
bool may_be_anything(FileKind named) { return named == FileKind::pickle || named == FileKind::archive; }

// What no loader of its own kind reads as a pickle, and what may be one all the same, behind more than the look at its start has seen.
bool may_hide_a_late_pickle(FileKind named) {
  return named == FileKind::safetensors || named == FileKind::of_no_use || named == FileKind::variables || named == FileKind::onnx || named == FileKind::saved_model || named == FileKind::tokenizer_model || named == FileKind::gguf;
}

}  // namespace

std::string_view Place::name() const {
  const std::string_view whole = member.empty() ? path : member;
  return whole.substr(whole.rfind('!') + 1);  // npos + 1 is 0
}

Place Place::inside(std::string_view name) const {
  // Names come from the file, and stand in reports: UTF-8 alone.
  std::string shown(name);
  if (!weights::is_utf8(shown)) {
    for (char& c : shown) c = (c & 0x80) != 0 ? '?' : c;
  }
  return {path, (member.empty() ? path : member) + "!" + shown, depth + 1};
}

void Scan::add(const Place& place, std::string kind, std::string rule, std::string severity, std::string detail, std::uint64_t offset, std::string opcode) {
  if (scan_.findings.size() >= kFindingsMax) return;
  scan_.findings.push_back({place.path, std::move(kind), std::move(severity), std::move(detail), offset, std::move(rule), place.member, std::move(opcode)});
}

void Scan::count_file(std::uint64_t bytes) {
  ++scan_.files;
  scan_.bytes += bytes;
}

Status Scan::settle(const Error& error, const Place& place, const char* kind, const char* rule) {
  if (is_machines(error.code)) return fail(error);
  const std::string name(place.name());
  const bool names_more = error.where.size() > name.size() + 2 && error.where.starts_with(name);
  add(place, kind, rule, "high", names_more ? error.message + " (" + error.where.substr(name.size() + 2) + ")" : error.message);
  return {};
}

void Scan::refuse_content(const Place& place, FileKind found, std::uint64_t offset) {
  add(place, to_string(found), fmt::format("file/{}-under-another-name", to_string(found)), "critical", fmt::format("the contents are of the type {}, whatever the name says", to_string(found)), offset);
}

Status Scan::look(const RandomAccess& object, const Place& place) {
  if (place.depth > kContainersDepthMax) {
    add(place, "archive", "archive/nested-too-deep", "high", "files are nested too deep in files");
    return {};
  }
  const FileKind named = kind_by_name(place.name());
  auto first = read_start(object, may_be_anything(named) ? kMagicBytes : kPickleStartBytes);
  if (!first) return settle(first.error(), place, "malformed", "file/unreadable");
  auto looked = look_by_content(named, *first, object, place);
  if (!looked) return settle(looked.error(), place, "malformed", "file/unreadable");
  first->clear();
  first->shrink_to_fit();
  if (*looked) return {};
  auto by_name = look_by_name(named, object, place);
  if (by_name && may_hide_a_late_pickle(named)) by_name = look_for_late_pickle(object, place);
  return by_name ? Status{} : settle(by_name.error(), place, "malformed", "file/unreadable");
}

// Whether the contents decided. What must not hide behind a name is looked for in every file.
Result<bool> Scan::look_by_content(FileKind named, ByteView first, const RandomAccess& object, const Place& place) {
  const FileKind found = may_be_anything(named) ? kind_by_magic(first) : kind_by_content(first);
  if (found == FileKind::code) return refuse_content(place, found, 0), true;
  if (const auto zip = TRY(find_zip_end(object)); zip || text_of(first).starts_with("PK\x03\x04")) {
    if (may_be_anything(named)) return TRY(look_at_zip(object, place)), true;
    return refuse_content(place, FileKind::archive, text_of(first).starts_with("PK\x03\x04") ? 0 : *zip), true;
  }
  const bool is_array = text_of(first).starts_with("\x93NUMPY");
  if (may_be_anything(named)) {
    if (!TRY(look_at_container(first, object, place))) return false;
    // What is a container for one loader may begin as a program for another.
    return TRY(look_for_late_pickle(object, place)), true;
  }
  if (is_tar(first)) return refuse_content(place, FileKind::archive, 0), true;
  if (found == FileKind::pickle && !is_array) return TRY(look_at_hidden_pickle(object, place)), true;
  if (found != FileKind::unknown) return refuse_content(place, found, 0), true;
  const FileKind marked = kind_by_short_magic(first);
  const bool is_binary_by_name = named == FileKind::safetensors || named == FileKind::onnx || named == FileKind::saved_model || named == FileKind::variables || named == FileKind::of_no_use;
  if (marked != FileKind::unknown && !(is_binary_by_name && named != FileKind::of_no_use)) return refuse_content(place, marked, 0), true;
  return false;
}

// Whether the file was one.
Result<bool> Scan::look_at_container(ByteView first, const RandomAccess& object, const Place& place) {
  if (text_of(first).starts_with("\x93NUMPY")) return TRY(look_at_array(object, place)), true;
  if (is_tar(first)) return TRY(look_at_tar(object, place)), true;
  if (is_hdf5(first) || TRY(find_superblock(object))) return TRY(look_at_hdf5(object, place)), true;
  if (codec_of(first)) return TRY(look_at_compressed(object, place)), true;
  return false;
}

// A pickle under a name that no loader of pickles asks for is one too many, whatever it holds.
Status Scan::look_at_hidden_pickle(const RandomAccess& object, const Place& place) {
  const std::size_t before = findings();
  TRY(look_at_pickle(object, place));
  if (findings() == before) refuse_content(place, FileKind::pickle, 0);
  return {};
}

Status Scan::look_by_name(FileKind named, const RandomAccess& object, const Place& place) {
  const std::string name(place.name());
  switch (named) {
    case FileKind::safetensors: return look_at_safetensors(object, place);
    case FileKind::gguf: return look_at_gguf(object, place);
    case FileKind::json: return look_at_json(object, place);
    case FileKind::text:
    case FileKind::template_text: return look_at_text(object, place);
    case FileKind::tokenizer_model: return look_at_tokenizer_model(object, place);
    case FileKind::of_no_use:
    case FileKind::variables: return {};
    case FileKind::pickle: return look_at_pickle(object, place);
    case FileKind::saved_model: return look_at_saved_model(object, place);
    case FileKind::onnx: return look_at_onnx(object, place);
    case FileKind::unknown: add(place, "unknown", "file/unknown", "medium", "a type of file that no model needs"); return {};
    case FileKind::code: add(place, "code", "file/code", "high", "a file of the type code is not admitted"); return {};
    case FileKind::archive: add(place, "archive", "archive/unreadable", "high", "an archive that can't be read"); return {};
  }
  return {};
}

Status Scan::look_at_safetensors(const RandomAccess& object, const Place& place) {
  const auto header = weights::read_header(object, std::string(place.name()));
  if (!header) return settle(header.error(), place, "malformed", "safetensors/malformed");
  // Nothing reads metadata as a program, so a program there is meant for somebody who does.
  for (const auto& [key, text] : header->metadata) {
    for (const char* word : {"os.system(", "subprocess.", "__import__(", "exec(compile", "pickle.loads("}) {
      if (text.find(word) == text.npos) continue;
      add(place, "code", "safetensors/code-in-metadata", "low", fmt::format("the metadata '{}' hold Python code", key.substr(0, 100)));
      return {};
    }
  }
  return {};
}

Status Scan::look_at_gguf(const RandomAccess& object, const Place& place) {
  const auto header = weights::GgufHeader::read(object, std::string(place.name()));
  if (!header) return settle(header.error(), place, "malformed", "gguf/malformed");
  for (const auto& key : header->keys()) {
    if (key != "tokenizer.chat_template" && !key.starts_with("tokenizer.chat_template.")) continue;
    const auto text = header->text(key);
    if (text) {
      judge_template(*text, place, key);
    } else {
      add(place, "template", "template/unreadable", "high", fmt::format("'{}' is no text", key));
    }
  }
  return {};
}

Status Scan::look_at_tokenizer_model(const RandomAccess& object, const Place& place) {
  RandomAccessSource source(object);
  const auto bytes = read_all(source, kTemplateBytesMax);
  if (!bytes) return settle(bytes.error(), place, "malformed", "tokenizer/malformed");
  const auto checked = check_sentencepiece(*bytes, std::string(place.name()));
  return checked ? Status{} : settle(checked.error(), place, "malformed", "tokenizer/malformed");
}

}  // namespace redoubt::model_scan
