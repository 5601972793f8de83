// SPDX-License-Identifier: Apache-2.0
#include "stages/data/prepare.h"

#include <fmt/format.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "stages/data/check.h"
#include "stages/data/split.h"

namespace redoubt::stages::data {
namespace {

constexpr std::uint64_t kFileBytesMax = 8ull << 30;

Result<Digest> put_rows(vault::ArtifactStore& store, std::vector<std::pair<std::string, const std::string*>> files) {
  vault::Manifest manifest;
  manifest.kind = "data";
  for (const auto& [path, rows] : files) {
    MemorySource source(view_of(*rows));
    const Digest digest = TRY(store.put_blob(source));
    manifest.files.push_back({path, rows->size(), digest});
  }
  return store.put_manifest(manifest);
}

Status refuse_findings(const DataReport& report, const PrepareOptions& options) {
  const Finding* finding = report.first_blocking(options.accept);
  if (finding == nullptr) return {};
  return fail(ErrorCode::gate_refused, fmt::format("the data is refused: {}: {}", finding->kind, finding->detail),
              fmt::format("{}:{}:{}", finding->file, finding->line, finding->column),
              "see all findings with 'redoubt data check FILE'; mend the rows, or accept the kind under data.accept if it is meant");
}

Result<governance::StepProduct> divide(const std::string& rows, const PrepareOptions& options, PrepareDeps& deps) {
  // The bytes that were read are checked, not the file again: it could be another by now.
  const std::string where = options.file.string();
  MemorySource source(view_of(rows));
  const auto report = TRY(check_rows(source, rows.size(), where));
  TRY(refuse_findings(report, options));
  const auto outer = TRY(split_rows(rows, options.eval_fraction, options.seed, where));
  // Another seed, or the same questions would be held out of what was kept: none.
  const auto inner = TRY(split_rows(outer.kept, options.validation_fraction, options.seed + 1, where));
  governance::StepProduct product;
  product.outputs["train"] = TRY(put_rows(deps.store, {{"train.jsonl", &inner.kept}, {"validation.jsonl", &inner.held_out}}));
  product.outputs["eval"] = TRY(put_rows(deps.store, {{"eval.jsonl", &outer.held_out}}));
  product.result = {{"rows", report.rows}, {"train", inner.kept_rows}, {"validation", inner.held_out_rows},
                    {"eval", outer.held_out_rows}, {"findings", report.by_kind()}};
  return product;
}

}  // namespace

Result<governance::PreparedData> prepare(const PrepareOptions& options, PrepareDeps& deps) {
  const auto file = TRY(FileReader::open_regular(options.file));
  const std::string rows = to_text(TRY(read_all(*file, kFileBytesMax)));
  governance::StepPlan plan;
  plan.inputs = {{"file", crypto::sha256(rows)}};
  plan.parameters = {{"eval_fraction", options.eval_fraction}, {"validation_fraction", options.validation_fraction},
                     {"seed", options.seed}, {"accept", options.accept}};
  return deps.recorder.run<governance::DataStep>(plan, [&] { return divide(rows, options, deps); });
}

}  // namespace redoubt::stages::data
