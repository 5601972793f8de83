// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/acquire.h"

#include <fmt/format.h>

#include <algorithm>

#include "model_scan/file_kinds.h"
#include "model_scan/model_scan.h"
#include "stages/acquire/download.h"

namespace redoubt::stages::acquire {
namespace {

// Policy, on top of the scan: a release is built of weights, configurations and texts alone, so what may hold code when it is loaded,
// however clean it is, stays outside.
bool is_admitted(model_scan::FileKind kind) {
  using Kind = model_scan::FileKind;
  return kind == Kind::safetensors || kind == Kind::gguf || kind == Kind::json || kind == Kind::text || kind == Kind::template_text || kind == Kind::tokenizer_model;
}

Result<std::vector<HubFile>> admitted_files(const std::vector<HubFile>& listed, const std::string& repository) {
  std::vector<HubFile> files;
  bool has_weights = false;
  for (const auto& file : listed) {
    const model_scan::FileKind kind = model_scan::kind_by_name(file.path);
    if (kind == model_scan::FileKind::of_no_use) continue;
    if (!is_admitted(kind)) {
      return fail(ErrorCode::gate_refused, fmt::format("the repository holds a file that is not admitted ({})", to_string(kind)), repository + "/" + file.path,
                  "use a repository, or a revision, with safetensors and JSON alone");
    }
    has_weights = has_weights || kind == model_scan::FileKind::safetensors;
    files.push_back(file);
  }
  if (!has_weights) return fail(ErrorCode::gate_refused, "the repository holds no safetensors file", repository);
  return files;
}

class Acquisition {
 public:
  Acquisition(const AcquireOptions& options, std::string commit, AcquireDeps& deps, const HubClient& client)
      : options_(options), commit_(std::move(commit)), deps_(deps), client_(client) {}

  Result<governance::StepProduct> run() {
    listed_ = TRY(client_.list(options_.repository, commit_));
    const auto files = TRY(admitted_files(listed_, options_.repository));
    std::uint64_t total = 0;
    for (const auto& file : files) total += file.size;  // at most 10,000 files of 1 TiB: no overflow
    if (total > options_.bytes_max) {
      return fail(ErrorCode::gate_refused, fmt::format("the model has {} bytes, at most {} are taken", total, options_.bytes_max), options_.repository,
                  "raise model.size_gib_max, or '--size-gib-max', if it is meant");
    }
    const auto verdict = TRY(judge_signer(files));
    deps_.progress.begin("download", total, "bytes");
    Downloads downloads({client_, options_.repository, commit_}, deps_.store, deps_.progress);
    auto taken = TRY(downloads.run(files));
    const vault::Manifest manifest{"model", std::move(taken)};
    deps_.progress.end();
    if (verdict) TRY(check_signed(*verdict, manifest));
    TRY(scan(manifest));
    governance::StepProduct product;
    product.outputs["model"] = TRY(deps_.store.put_manifest(manifest));
    product.result = {{"repository", options_.repository}, {"commit", commit_}, {"files", files.size()}, {"bytes", total}};
    if (verdict) product.result["signature"] = verdict->to_json();
    return product;
  }

 private:
  // Before anything else is asked for: a model that is not accepted costs one small file.
  Result<std::optional<attest::SignerVerdict>> judge_signer(const std::vector<HubFile>& files) {
    if (!options_.signers) return std::optional<attest::SignerVerdict>();
    std::string bundle;
    for (const auto& file : files) {
      if (file.path != attest::kModelSignatureName) continue;
      if (file.size > attest::kModelSignatureBytesMax) return fail(ErrorCode::gate_refused, "the model's signature is too large to be one", where(file));
      MemorySink sink;
      TRY(client_.download(options_.repository, commit_, file, 0, file.size, sink));
      bundle = to_text(sink.take());
    }
    return std::optional(TRY(options_.signers->judge(options_.repository, bundle, options_.now)));
  }

  // What was taken has to be what was signed; a signed file that is of no use here was not asked for.
  Status check_signed(const attest::SignerVerdict& verdict, const vault::Manifest& manifest) const {
    if (verdict.signer.empty()) return {};
    std::vector<attest::ModelResource> files;
    for (const auto& file : manifest.files) {
      if (file.path != attest::kModelSignatureName) files.push_back({file.path, file.sha256});
    }
    for (const auto& problem : attest::compare_model({.name = "", .digest = {}, .files = verdict.files}, std::move(files))) {
      const bool is_left_out = std::any_of(listed_.begin(), listed_.end(), [&](const HubFile& file) { return file.path == problem.object && model_scan::kind_by_name(file.path) == model_scan::FileKind::of_no_use; });
      if (problem.kind == "missing" && is_left_out) continue;
      return fail(ErrorCode::tampered, fmt::format("the model is not the one that '{}' signed: {}: {}", verdict.signer, problem.kind, problem.detail), options_.repository + "/" + problem.object,
                  "nothing was taken; ask the signer for the model as it was signed");
    }
    return {};
  }

  std::string where(const HubFile& file) const { return options_.repository + "/" + file.path; }

  Status scan(const vault::Manifest& manifest) {
    std::vector<model_scan::ScannedFile> files;
    for (const auto& file : manifest.files) files.push_back({file.path, [this, digest = file.sha256] { return deps_.store.open_blob(digest); }});
    const model_scan::ModelScan scanned = TRY(model_scan::scan_model(files));
    if (scanned.safe()) return {};
    const auto& first = scanned.findings.front();
    return fail(ErrorCode::gate_refused, fmt::format("the model is refused: {}: {}", first.kind, first.detail), options_.repository + "/" + first.path,
                "use another revision or another model");
  }

  const AcquireOptions& options_;
  std::string commit_;
  AcquireDeps& deps_;
  const HubClient& client_;
  std::vector<HubFile> listed_;
};

}  // namespace

Result<governance::AcquiredModel> acquire(const AcquireOptions& options, AcquireDeps& deps) {
  const HubClient client(options.hub);
  TRY(client.check(options.repository, options.revision));
  const std::string commit = is_commit(options.revision) ? options.revision : TRY(client.resolve(options.repository, options.revision));
  governance::StepPlan plan{{}, {{"repository", options.repository}, {"commit", commit}}};
  if (options.signers) plan.parameters["signers"] = options.signers->digest().tagged();
  return deps.recorder.run<governance::AcquireStep>(plan, [&] { return Acquisition(options, commit, deps, client).run(); });
}

}  // namespace redoubt::stages::acquire
