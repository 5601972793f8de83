// SPDX-License-Identifier: Apache-2.0
#include "stages/data/examine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "crypto/hash.h"
#include "crypto/random.h"
#include "detectors/redact.h"
#include "stages/data/fold.h"
#include "stages/data/language.h"
#include "stages/data/row_text.h"

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kShinglesMin = 4;  // that do not overlap
constexpr int kRedactionsMax = 4;  // what a redaction uncovers is redacted too, so many times
constexpr std::size_t kFindingsOfRowMax = 10'000;

std::uint64_t short_hash(std::string_view text) {
  const Digest digest = crypto::sha256(text);
  std::uint64_t bits = 0;
  std::memcpy(&bits, digest.value.data(), sizeof bits);
  return bits;
}

// The same of a value, whatever the order of its members and the way it is written.
void hash_value(const Json& value, crypto::Sha256& hash) {
  if (value.is_object()) {
    hash.update("{" + std::to_string(value.size()));
    for (const auto& [key, member] : value.items()) {
      hash.update("\"" + std::to_string(key.size()) + ":" + key);
      hash_value(member, hash);
    }
  } else if (value.is_array()) {
    hash.update("[" + std::to_string(value.size()));
    for (const auto& element : value) hash_value(element, hash);
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    hash.update("\"" + std::to_string(text.size()) + ":").update(text);
  } else {
    hash.update("=" + dump_json(value) + ",");
  }
}

std::uint64_t row_hash(const Json& value) {
  crypto::Sha256 hash;
  hash_value(value, hash);
  const Digest digest = hash.finish();
  std::uint64_t bits = 0;
  std::memcpy(&bits, digest.value.data(), sizeof bits);
  return bits;
}

Result<Json> parse_row(std::string_view text, const std::string& file) {
  return parse_json(text, file, {.bytes_max = 1 << 30});
}

// Whether there is anything to be seen in a text, by the quickest way that is sure.
bool is_empty(std::string_view text) {
  const bool seen = std::any_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (seen) return false;
  const auto fold = folded(text);
  return fold && fold->empty();
}

}  // namespace

class RowExaminer::Visit {
 public:
  Visit(const RowExaminer& examiner, const RawRow& raw, const std::string& file, Want want) : examiner_(examiner), policy_(examiner.policy_), raw_(raw), file_(file), want_(want) {}

  ExaminedRow run() {
    switch (raw_.is) {
      case RawRow::Is::line: line(); break;
      case RawRow::Is::record: record(); break;
      case RawRow::Is::header: header(); break;
    }
    tell_matches();
    if (out_.drops) {
      out_.clean.clear();
      out_.keys.reset();
      out_.row.reset();
    }
    return std::move(out_);
  }

 private:
  void line() {
    const std::string_view text = raw_.text;
    if (raw_.left_out > 0) return endless_row();
    if (text.starts_with(rows::kByteOrderMark)) add("MALFORMED_JSON", 1, "a byte order mark; save the file as UTF-8 without one");
    check_length(text.size());
    if (const auto bad = rows::first_invalid_utf8(text); bad != text.npos) {
      tell_encoding(text, bad);
      return scan_raw(text);
    }
    const auto row = parse_row(text, file_);
    if (!row) {
      // A message about a key would repeat it.
      std::string why = row.error().message.starts_with("the key ") ? "a key stands twice in one object" : row.error().message;
      // Of a later line it can't be told which half of a character it begins with.
      if (const auto encoding = raw_.line > 1 || text.find('\0') == text.npos ? "" : encoding_of(text); encoding.starts_with("UTF-")) why += fmt::format("; it looks like {0}: iconv -f {0} -t UTF-8", encoding);
      add("MALFORMED_JSON", 0, std::move(why));
      return scan_raw(text);
    }
    scan_values(text, nullptr);
    keep(text, *row, false);
  }

  void record() {
    if (raw_.broken) return broken_record();
    check_length(raw_.text.size());
    scan_fields();
    const auto row = raw_.columns->row({raw_.line, {}, raw_.fields}, file_);
    if (!row) return add("MALFORMED_CSV", 0, row.error().message);
    const auto named = named_columns();
    if (named.drops) out_.drops = true;
    keep(dump_json(*row), *row, named.redacts);
  }

  // What stands in the name of a column stands in each row once it is JSON. It is told of the header alone, and looked at once for a table.
  NamedColumns named_columns() const {
    const std::lock_guard lock(examiner_.mutex_);
    auto& named = examiner_.named_;
    if (named.columns == raw_.columns) return named;
    named = {raw_.columns};
    for (const auto& name : raw_.columns->names())
      for (const auto& match : matches_in(name)) {
        const auto action = policy_.action_of(match.kind);
        named.redacts |= action == Action::redact;
        named.drops |= action == Action::drop;
      }
    return named;
  }

  void header() {
    out_.is_row = false;
    if (raw_.broken) add("SCHEMA", 0, raw_.broken->message);
    scan_fields();
  }

  // A record that does not read as one.
  void broken_record() {
    if (raw_.broken->code == ErrorCode::limit_exceeded) {
      add("LONG_ROW", 0, raw_.broken->message);
      return add("UNSCANNABLE", 0, "the row is too long to be looked at");
    }
    if (const auto bad = rows::first_invalid_utf8(raw_.text); bad != raw_.text.npos) tell_encoding(raw_.text, bad);
    else add("MALFORMED_CSV", 0, raw_.broken->message);
    scan_raw(raw_.text);
  }

  void tell_encoding(std::string_view text, std::size_t bad) {
    const auto before = text.substr(0, bad);
    const auto lines = static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));  // of a record that goes over several
    const auto encoding = encoding_of(text);
    add("INVALID_UTF8", bad - (before.rfind('\n') + 1) + 1, encoding.empty() ? "not UTF-8 from here on" : fmt::format("not UTF-8 from here on; it looks like {0}: iconv -f {0} -t UTF-8", encoding),
        raw_.line + lines);
  }

  // A row that was too long to be kept.
  void endless_row() {
    add("LONG_ROW", 0, fmt::format("the row has {} bytes, at most {} are taken", raw_.left_out, policy_.row_bytes_max));
    add("UNSCANNABLE", 0, "the row is too long to be looked at");
  }

  void check_length(std::size_t bytes) {
    if (bytes > policy_.row_bytes_max) add("LONG_ROW", 0, fmt::format("the row has {} bytes, at most {} are taken", bytes, policy_.row_bytes_max));
  }

  // A row that reads as JSON: whether it has a form, and what it is compared by once the policy's redactions are made, which matches or `names_redact` ask for.
  void keep(std::string_view text, const Json& value, bool names_redact) {
    auto row = rows::row_of(value, file_);
    if (!row) return add("SCHEMA", 0, row.error().message);
    const bool was_empty = is_empty(row->answer);
    if (was_empty) add("EMPTY_ANSWER", 0, "the answer is empty");
    const bool any = names_redact || std::any_of(matches_.begin(), matches_.end(), [&](const Found& found) { return policy_.action_of(found.kind) == Action::redact; });
    if (!any) return compare_by(text, value, std::move(*row));
    std::string clean(text);
    if (!redact(clean)) {
      out_.drops = true;  // what stays after so many redactions does not stay in the data
      return;
    }
    const auto left = parse_row(clean, file_);
    auto row_left = left ? rows::row_of(*left, file_) : tl::unexpected(left.error());
    // Two keys that were redacted alike, a role that was: no row any more.
    if (!row_left) {
      out_.drops = true;
      return;
    }
    if (!was_empty && is_empty(row_left->answer)) add("EMPTY_ANSWER", 0, "the answer is empty without what is redacted");
    compare_by(clean, *left, std::move(*row_left));
  }

  void compare_by(std::string_view clean, const Json& value, rows::Row row) {
    RowKeys keys;
    keys.row = row_hash(value);
    const auto question = folded(rows::question_of(row, examiner_.question_)), text = folded(text_of(row));
    tell_language(row);
    if (question) keys.question = short_hash(*question);
    // Of a text of few shingles nothing can be told but that it is the same.
    if (text && text->size() >= kShinglesMin * policy_.shingle_bytes) keys.sketch = Sketch::of(examiner_.hasher_.signature(*text));
    out_.keys = keys;
    if (policy_.action_of("TRIGGER") != Action::ignore) out_.asked = AskedRow::of(row);
    out_.row = std::move(row);
    if (want_ == Want::clean_row) out_.clean = clean;
  }

  void tell_language(const rows::Row& row) {
    const auto& expected = policy_.languages;
    if (expected.empty()) return;
    out_.language = language_of(text_of(row), policy_.letters_min);
    const bool fits = out_.language.empty() || std::any_of(expected.begin(), expected.end(), [&](const std::string& code) { return is_expected(out_.language, code); });
    if (!fits) add("LANGUAGE", 0, fmt::format("the row is in '{}', expected {}", out_.language, fmt::join(expected, ", ")));
  }

  // All of a number, which becomes a string: the arguments of a call stay JSON.
  static Span span_of(const JsonText& value, const std::vector<Range>& numbers, const Match& match) {
    Range range{match.offset, match.offset + match.length};
    std::string quote;
    if (value.is_number) {
      range = {0, value.text.size()};
      quote = quote_at(0);
    } else if (const auto number = number_around(numbers, match.offset, match.length)) {
      range = *number;
      quote = quote_at(value.depth + 1);
    }
    return {match.kind, value.places.raw(range.begin), value.places.raw(range.end), std::move(quote)};
  }

  // Matches of a JSON line that are redacted, taken out until none is left; false when some always are.
  bool redact(std::string& clean) const {
    for (int round = 0; round < kRedactionsMax; ++round) {
      std::vector<Span> spans;
      for_each_value(clean, [&](const JsonText& value) {
        std::optional<std::vector<Range>> numbers;
        for (const auto& match : matches_in(value.text)) {
          if (policy_.action_of(match.kind) != Action::redact) continue;
          if (!numbers) numbers = numbers_in(value.text);
          spans.push_back(span_of(value, *numbers, match));
        }
      });
      if (spans.empty()) return true;
      clean = without_spans(clean, std::move(spans));
    }
    return false;
  }

  void scan_fields() {
    for (const auto& field : raw_.fields) {
      const std::string_view text = field.text;
      OffsetMap places;
      for (std::size_t i = 0; i < text.size(); ++i) {
        if (i == 0 || field.raw_offset[i] != field.raw_offset[i - 1] + 1) places.run(i, field.raw_offset[i]);
      }
      // A cell may hold JSON, whose texts are looked at as a model would read them.
      if ((text.starts_with('[') || text.starts_with('{')) && parse_json(text, file_)) scan_values(text, &places);
      else scan(text, places);
    }
  }

  void scan_values(std::string_view text, const OffsetMap* outer) {
    for_each_value(text, [&](const JsonText& value) {
      if (outer == nullptr) scan(value.text, value.places);
      else scan(value.text, value.places.through(*outer));
    });
  }

  // A line that is no JSON is looked at as it stands, so that a broken row hides nothing.
  void scan_raw(std::string_view text) {
    std::string valid(text);
    std::size_t at = 0;
    for (std::size_t bad; (bad = rows::first_invalid_utf8(std::string_view(valid).substr(at))) != valid.npos; at += bad + 1) valid[at + bad] = '?';
    scan(valid, {});
  }

  std::vector<Match> matches_in(std::string_view text) const {
    auto matches = examiner_.detectors_->scan(text);
    examiner_.word_lists_.find(text, matches);
    return matches;
  }

  void scan(std::string_view text, const OffsetMap& places) {
    for (const auto& match : matches_in(text)) {
      const auto hash = crypto::hmac_sha256(examiner_.hash_key_, view_of(text.substr(match.offset, match.length))).hex().substr(0, 12);
      matches_.push_back({match.kind, places.raw(match.offset), fmt::format("{} bytes, keyed hash {}", match.length, hash)});
    }
  }

  // A text inside a text is looked at with and without its escapes: what both find is told once.
  void tell_matches() {
    const auto before = [](const Found& a, const Found& b) { return std::tie(a.offset, a.kind) < std::tie(b.offset, b.kind); };
    const auto same = [](const Found& a, const Found& b) { return a.offset == b.offset && a.kind == b.kind; };
    std::stable_sort(matches_.begin(), matches_.end(), before);
    matches_.erase(std::unique(matches_.begin(), matches_.end(), same), matches_.end());
    const std::string_view raw = raw_.text;
    std::size_t line_start = 0, counted = 0;
    std::uint64_t line = raw_.line;
    for (auto& found : matches_) {
      for (; counted < found.offset && counted < raw.size(); ++counted) {  // a record may go over several lines
        if (raw[counted] != '\n') continue;
        ++line;
        line_start = counted + 1;
      }
      add(found.kind, found.offset - line_start + 1, std::move(found.detail), line);
    }
  }

  void add(std::string_view kind, std::uint64_t column, std::string detail) { add(kind, column, std::move(detail), raw_.line); }
  void add(std::string_view kind, std::uint64_t column, std::string detail, std::uint64_t line) {
    const Action action = policy_.action_of(kind);
    if (action == Action::ignore || out_.findings.size() >= kFindingsOfRowMax) return;
    out_.drops = out_.drops || action == Action::drop;
    out_.findings.push_back({std::string(kind), action, {}, line, column, std::move(detail)});
  }

  struct Found {
    std::string_view kind;
    std::size_t offset;
    std::string detail;
  };

  const RowExaminer& examiner_;
  const Policy& policy_;
  const RawRow& raw_;
  const std::string& file_;
  const Want want_;
  std::vector<Found> matches_;
  ExaminedRow out_;
};

RowExaminer::RowExaminer(const Policy& policy, rows::Question question, std::shared_ptr<const Detectors> detectors)
    : policy_(policy), question_(question), detectors_(std::move(detectors)), word_lists_(policy.word_lists), hasher_(policy.near_seed, policy.shingle_bytes), hash_key_(crypto::random_secret(32)) {}

Result<std::shared_ptr<const Detectors>> RowExaminer::detectors_of(const Policy& policy) {
  return std::shared_ptr<const Detectors>(TRY(Detectors::create([&](std::string_view kind) { return policy.action_of(kind) != Action::ignore; })));
}

Result<std::unique_ptr<RowExaminer>> RowExaminer::create(const Policy& policy, rows::Question question, std::shared_ptr<const Detectors> detectors) {
  if (detectors == nullptr) detectors = TRY(detectors_of(policy));
  return std::unique_ptr<RowExaminer>(new RowExaminer(policy, question, std::move(detectors)));
}

ExaminedRow RowExaminer::examine(const RawRow& row, const std::string& file, Want want) const { return Visit(*this, row, file, want).run(); }

}  // namespace redoubt::stages::data
