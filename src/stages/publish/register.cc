// SPDX-License-Identifier: Apache-2.0
#include "stages/publish/register.h"

#include "base/log.h"
#include "attest/model_signature.h"
#include "governance/registry_view.h"
#include "stages/publish/model_card.h"

namespace redoubt::stages::publish {
namespace {

using governance::StepPlan;
using governance::StepProduct;

Status add_files(vault::ArtifactStore& store, const Digest& artifact, const std::string& folder, vault::Manifest& into) {
  for (auto file : TRY(store.manifest(artifact)).files) {
    file.path = folder + "/" + file.path;
    into.files.push_back(std::move(file));
  }
  return {};
}

// The release holds no bytes of its own: it names the base model's and the adapter's files, or those of the model that was trained whole.
Result<vault::Manifest> release_manifest(const ReleaseChain& chain, vault::ArtifactStore& store) {
  vault::Manifest release;
  release.kind = "release";
  const auto weights = attest::trained_weights(chain.trained.record());
  const Digest trained = TRY(chain.trained.output(weights.output));
  TRY(add_files(store, weights.is_adapter() ? TRY(chain.model.output("model")) : trained, "base", release));
  if (weights.is_adapter()) TRY(add_files(store, trained, "adapter", release));
  return release;
}

Result<vault::ArtifactFile> put_text(vault::ArtifactStore& store, std::string path, std::string_view text) {
  MemorySource source(view_of(text));
  const Digest digest = TRY(store.put_blob(source));
  return vault::ArtifactFile{std::move(path), text.size(), digest};
}

Result<Digest> put_texts(vault::ArtifactStore& store, std::string kind, std::vector<std::pair<std::string, std::string>> files) {
  vault::Manifest manifest;
  manifest.kind = std::move(kind);
  for (const auto& [path, text] : files) manifest.files.push_back(TRY(put_text(store, path, text)));
  return store.put_manifest(manifest);
}

Result<Digest> sign_release(const std::string& name, const vault::Manifest& release, const RegisterDeps& deps) {
  std::vector<attest::ModelResource> resources;
  for (const auto& file : release.files) resources.push_back({file.path, file.sha256});
  const std::string signature = TRY(attest::sign_model(name, std::move(resources), deps.model_key));
  return put_texts(deps.store, "model-signature", {{"model.pub", deps.model_key.public_key().to_pem()}, {"model.sig", signature}});
}

Json lineage_of(const ReleaseChain& chain) {
  Json lineage = Json::object();
  const auto add = [&](const auto& step) {
    for (const auto& [name, digest] : step.record().outputs) lineage[step.record().step + "." + name] = digest.tagged();
  };
  add(chain.model);
  add(chain.data);
  add(chain.image);
  add(chain.trained);
  add(chain.evaluation);
  if (const auto vault = chain.data.record().inputs.find("vault"); vault != chain.data.record().inputs.end()) lineage["data.vault"] = vault->second.tagged();
  return lineage;
}

ModelCard make_card(const ReleaseChain& chain, const RegisterOptions& options, const RegisterDeps& deps, const std::string& version) {
  const Json& evaluation = chain.evaluation.record().result;
  ModelCard card;
  card.name = options.name;
  card.version = version;
  card.description = options.description;
  card.license = options.license;
  card.base_model = json_or(chain.model.record().result, "repository", "");
  card.base_revision = json_or(chain.model.record().result, "commit", "");
  card.intended_use = options.intended_use;
  card.limitations = options.limitations;
  card.created = to_rfc3339(deps.clock.now());
  card.created_by = deps.recorder.identity();
  card.state = json_or(evaluation, "gate", "") == "pass" ? "PendingManualApproval" : "Rejected";
  card.reason = json_or(evaluation, "explanation", "");
  card.training = chain.trained.record().parameters;
  card.metrics = json_or(evaluation, "metrics", Json::object());
  card.base_metrics = json_or(evaluation, "base_metrics", Json::object());
  card.gate = {{"gate", json_or(evaluation, "gate", "fail")}, {"failures", json_or(evaluation, "failures", Json::array())},
               {"thresholds", json_or(chain.evaluation.record().parameters, "thresholds", Json::object())}};
  card.lineage = lineage_of(chain);
  card.data = chain.data.record().result;
  card.image = chain.image.record().result;
  return card;
}

Result<StepProduct> publish(const ReleaseChain& chain, const RegisterOptions& options, RegisterDeps& deps) {
  const std::string version = governance::next_version(TRY(deps.registry.list()), options.name, options.bump);
  const vault::Manifest release = TRY(release_manifest(chain, deps.store));
  const ModelCard card = make_card(chain, options, deps, version);
  StepProduct product;
  product.outputs["release"] = TRY(deps.store.put_manifest(release));
  product.outputs["card"] = TRY(put_texts(deps.store, "card", {{"card.json", dump_json(to_json(card))}, {"card.md", to_markdown(card)}}));
  product.outputs["signature"] = TRY(sign_release(options.name, release, deps));
  product.outputs.insert(options.documents.begin(), options.documents.end());
  product.result = {{"name", options.name}, {"version", version}, {"state", card.state}, {"metrics", card.metrics}, {"reason", card.reason}};
  return product;
}

Status describe(const ReleaseChain& chain, const governance::RegisteredVersion& registered, RegisterDeps& deps) {
  provider::ModelVersion version;
  version.name = TRY(json_string(registered.record().result, "name", "register statement"));
  version.version = TRY(json_string(registered.record().result, "version", "register statement"));
  version.digest = TRY(registered.output("release")).tagged();
  version.statement = registered.statement().tagged();
  Json card;
  for (const auto& file : TRY(deps.store.manifest(TRY(registered.output("card")))).files) {
    if (file.path != "card.json") continue;
    const auto blob = TRY(deps.store.open_blob(file.sha256));
    RandomAccessSource source(*blob);
    card = TRY(parse_json(to_text(TRY(read_all(source, 1 << 20))), file.path));
  }
  if (const auto known = deps.registry.get(version.name, version.version)) {
    card["state"] = provider::to_string(known->state);
    card["reason"] = known->reason;
  }
  std::map<std::string, std::string> lineage;
  const auto add = [&](const auto& step) {
    for (const auto& [name, digest] : step.record().outputs) lineage[step.record().step + "-" + name] = digest.tagged();
  };
  add(chain.model);
  add(chain.data);
  add(chain.image);
  add(chain.trained);
  add(chain.evaluation);
  return deps.registry.describe(version, card, lineage);
}

}  // namespace

Result<governance::RegisteredVersion> register_version(const ReleaseChain& chain, const RegisterOptions& options, RegisterDeps& deps) {
  const Json& evaluation = chain.evaluation.record().result;
  if (json_or(evaluation, "gate", "") == "undecided") {
    return fail(ErrorCode::undecided, "the evaluation could not decide: " + json_or(evaluation, "explanation", ""), options.name,
                "hold out more examples (data.eval_fraction) or lower examples_min in the thresholds, then run again");
  }
  StepPlan plan;
  plan.inputs = {{"statement:acquire", chain.model.statement()}, {"statement:data", chain.data.statement()},
                 {"statement:image", chain.image.statement()}, {"statement:train", chain.trained.statement()},
                 {"statement:evaluate", chain.evaluation.statement()}};
  plan.parameters = {{"name", options.name}, {"description", options.description}, {"license", options.license},
                     {"bump", options.bump}, {"intended_use", options.intended_use}, {"limitations", options.limitations}, {"settings", options.settings}};
  const auto registered = TRY(deps.recorder.run<governance::RegisterStep>(plan, [&] { return publish(chain, options, deps); }));
  if (deps.registry.describes()) {
    // A view for others: the version stands without it.
    const Status described = describe(chain, registered, deps);
    if (!described) spdlog::warn("the registry does not show the version's card and lineage: {} ({})", described.error().message, described.error().where);
  }
  return registered;
}

}  // namespace redoubt::stages::publish
