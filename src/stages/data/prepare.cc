// SPDX-License-Identifier: Apache-2.0
#include "stages/data/prepare.h"

#include <fmt/format.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "stages/data/check.h"
#include "stages/data/pending_source.h"
#include "stages/data/side_leakage.h"

namespace redoubt::stages::data {
namespace {

enum class Side { train, validation, eval };

// Everything that reads the file hashes it on the way, so that what was checked is what is used.
class HashedSource final : public Source {
 public:
  explicit HashedSource(const RandomAccess& file) : source_(file) {}
  Result<std::size_t> read(MutableByteView into) override {
    const auto count = TRY(source_.read(into));
    hash_.update({into.data(), count});
    return count;
  }
  // After the last read.
  Status expect(const Digest& digest, const std::string& name) {
    if (hash_.finish() == digest) return {};
    return fail(ErrorCode::tampered, "the data file changed while it was read", name, "let nothing write to it and run again");
  }

 private:
  RandomAccessSource source_;
  crypto::Sha256 hash_;
};

struct File {
  const RandomAccess& contents;
  std::string name;
  Digest digest;
  DataCheck* cleans = nullptr;  // where the policy left out or redacted something
};

struct Divisions {
  Division eval, validation;

  Result<Side> side_of(const rows::Row& row) const {
    if (TRY(eval.holds_out(row))) return Side::eval;
    return TRY(validation.holds_out(row)) ? Side::validation : Side::train;
  }
};

// The rows of one side as a stream of JSON lines.
class SideSource final : public PendingSource {
 public:
  // `leakage` must have begun the side.
  static Result<std::unique_ptr<SideSource>> open(const File& file, const Divisions& divisions, Side side, SideLeakage& leakage) {
    std::unique_ptr<SideSource> made(new SideSource(file, divisions, side, leakage));
    if (file.cleans != nullptr) made->clean_ = TRY(file.cleans->clean(made->source_, 0, &made->lines_));
    made->rows_ = TRY(CheckedRows::open(made->clean_ ? *made->clean_ : made->source_, file.name));
    return made;
  }

  std::uint64_t rows = 0, bytes = 0;

 private:
  SideSource(const File& file, const Divisions& divisions, Side side, SideLeakage& leakage) : file_(file), source_(file.contents), divisions_(divisions), side_(side), leakage_(leakage) {}

  Status fill() override {
    auto next = TRY(rows_->next());
    ended_ = !next;
    if (ended_) return source_.expect(file_.digest, file_.name);
    const std::uint64_t line = clean_ ? lines_.at(seen_) : next->line;
    ++seen_;
    if (TRY(divisions_.side_of(next->row)) != side_ || TRY(leakage_.leaves_out(next->text, line))) return {};
    pending_ = std::move(next->text) + "\n";
    bytes += pending_.size();
    ++rows;
    return {};
  }

  const File& file_;
  HashedSource source_;
  const Divisions& divisions_;
  Side side_;
  SideLeakage& leakage_;
  std::vector<std::uint64_t> lines_;  // of the file, for each row that comes out of clean_
  std::uint64_t seen_ = 0;
  std::unique_ptr<Source> clean_;
  std::unique_ptr<CheckedRows> rows_;
};

struct SealedSide {
  vault::ArtifactFile file;
  std::uint64_t rows = 0;
};

Result<SealedSide> seal(vault::ArtifactStore& store, const File& file, const Divisions& divisions, Side side, const std::string& name, SideLeakage& leakage) {
  leakage.begin_side(name, file.name, side == Side::train ? SideLeakage::Later::none : SideLeakage::Later::compared);
  const auto source = TRY(SideSource::open(file, divisions, side, leakage));
  const Digest digest = TRY(store.put_blob(*source));
  return SealedSide{{name + ".jsonl", source->bytes, digest}, source->rows};
}

Status refuse_findings(const DataReport& report) {
  const Finding* finding = report.first_blocking();
  if (finding == nullptr) return {};
  return fail(ErrorCode::gate_refused, fmt::format("the data is refused: {}: {}", finding->kind, finding->detail),
              fmt::format("{}:{}:{}", finding->file, finding->line, finding->column),
              "see all findings with 'redoubt data check FILE'; mend the rows, accept the kind under data.accept if it is meant, or have data.policy redact it or drop the row");
}

Result<governance::StepProduct> divide(File file, const PrepareOptions& options, PrepareDeps& deps) {
  HashedSource source(file.contents);
  const auto check = TRY(DataCheck::create({options.policy, options.question}));
  TRY(check->read(source, file.contents.size(), file.name));
  TRY(source.expect(file.digest, file.name));
  const auto report = TRY(check->finish());
  TRY(refuse_findings(report));
  if (report.dropped_rows > 0 || !report.redacted.empty()) file.cleans = check.get();
  // Another seed for the inner division, or the same questions would be held out of what was kept: none.
  const Divisions divisions{TRY(Division::create({options.eval_fraction, options.seed, options.question})),
                            TRY(Division::create({options.validation_fraction, options.seed + 1, options.question}))};
  const auto leakage = TRY(SideLeakage::create(options.policy, options.question));
  const auto eval = TRY(seal(deps.store, file, divisions, Side::eval, "eval", *leakage));
  const auto validation = TRY(seal(deps.store, file, divisions, Side::validation, "validation", *leakage));
  const auto train = TRY(seal(deps.store, file, divisions, Side::train, "train", *leakage));
  TRY(check_sides({eval.rows, validation.rows + train.rows}, file.name));
  TRY(check_sides({validation.rows, train.rows}, file.name));
  governance::StepProduct product;
  product.outputs["train"] = TRY(deps.store.put_manifest({.kind = "data", .files = {train.file, validation.file}}));
  product.outputs["eval"] = TRY(deps.store.put_manifest({.kind = "data", .files = {eval.file}}));
  product.result = {{"rows", report.rows}, {"train", train.rows}, {"validation", validation.rows}, {"eval", eval.rows}, {"findings", report.counts},
                    {"redacted", report.redacted}, {"dropped", report.dropped}, {"dropped_rows", report.dropped_rows}};
  product.result["leaks"] = leakage->to_json();
  if (options.origin) product.result["origin"] = options.origin->about;
  return product;
}

}  // namespace

Result<governance::PreparedData> prepare(const PrepareOptions& options, PrepareDeps& deps) {
  governance::StepPlan plan;
  plan.parameters = {{"eval_fraction", options.eval_fraction}, {"validation_fraction", options.validation_fraction},
                     {"sides_compared", true}, {"seed", options.seed}, {"policy", options.policy.to_json()}, {"question", options.question == rows::Question::user ? "user" : "prompt"}};
  if (options.origin) {
    const auto& origin = *options.origin;
    plan.inputs = {{"file", origin.file}, {"vault", origin.artifact}};
    // Opened when it is read, so that the access log names the step; the vault gives what the digest names, or an error.
    return deps.recorder.run<governance::DataStep>(plan, [&]() -> Result<governance::StepProduct> {
      const auto contents = TRY(origin.open());
      return divide({*contents, origin.name, origin.file}, options, deps);
    });
  }
  const auto contents = TRY(FileReader::open_regular(options.file));
  RandomAccessSource source(*contents);
  const Digest digest = TRY(crypto::sha256_of(source));
  const File file{*contents, options.file.string(), digest};
  plan.inputs = {{"file", file.digest}};
  return deps.recorder.run<governance::DataStep>(plan, [&] { return divide(file, options, deps); });
}

}  // namespace redoubt::stages::data
