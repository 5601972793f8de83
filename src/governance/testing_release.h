// SPDX-License-Identifier: Apache-2.0
//
// For tests of the stages that stand on the chain of statements: a real ledger, registry and artifact store in a folder of the
// test, with three identities, and a chain whose every step can be made wrong by one field.
#pragma once

#include "base/check.h"
#include "base/file.h"
#include "crypto/hash.h"
#include "governance/recorder.h"
#include "governance/registry_view.h"
#include "provider/local/sqlite_registry.h"
#include "provider/testing/fake_kms.h"
#include "provider/testing/fake_stores.h"
#include "vault/artifact_store.h"

namespace redoubt::governance {

class ReleaseFixture {
 public:
  ReleaseFixture() {
    CHECK(kms.create_key("fake:default").has_value());
    for (const char* name : {"operator", "second", "reviewer"}) keys.emplace(name, crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519));
    const auto trusted = [this](std::string_view id) -> std::optional<attest::TrustedKey> {
      for (const auto& [name, key] : keys) {
        if (key.public_key().key_id() == id) return attest::TrustedKey{key.public_key(), name};
      }
      return std::nullopt;
    };
    evidence = *ledger::EvidenceLog::create({folder.path() / "ledger", folder.path() / "anchor", "redoubt.test/1"},
                                            crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519), trusted);
    registry = *provider::local::SqliteRegistry::open({folder.path() / "registry.db", Secret(Bytes(32, 1))});
    model = artifact("model", "weights");
    train_data = artifact("data", "rows to train on");
    eval_data = artifact("data", "rows held out");
    adapter = artifact("adapter", "a small change");
  }

  StepRecorder recorder(const std::string& identity = "operator") {
    return StepRecorder(*evidence, keys.at(identity), clock, [](const std::string&, const Digest&) { return true; }, {identity});
  }
  Digest artifact(const char* kind, const std::string& text) {
    MemorySource source(view_of(text));
    vault::Manifest manifest{kind, {{"file", text.size(), *store.put_blob(source)}}};
    return *store.put_manifest(manifest);
  }

  template <class Step>
  Recorded<Step> record(std::map<std::string, Digest> inputs, std::map<std::string, Digest> outputs, Json result = Json::object(),
                        const std::string& identity = "operator", Json parameters = Json::object()) {
    auto steps = recorder(identity);
    auto done = steps.run<Step>({std::move(inputs), std::move(parameters)}, [&]() -> Result<StepProduct> { return StepProduct{outputs, result}; });
    CHECK(done.has_value());
    CHECK(catch_up(*evidence, *registry).has_value());
    return std::move(*done);
  }
  AcquiredModel acquired() { return record<AcquireStep>({}, {{"model", model}}, {{"repository", "owner/base"}, {"commit", "c0ffee"}}); }
  PreparedData prepared() { return record<DataStep>({}, {{"train", train_data}, {"eval", eval_data}}, {{"train", 90}, {"eval", 10}}); }
  BuiltImage built() { return record<ImageStep>({}, {{"image", image}}, {{"packages", 3}}); }
  TrainedModel trained(const std::string& by = "operator") {
    return record<TrainStep>({{"model", trained_on_model.value_or(model)}, {"data", trained_on_data.value_or(train_data)}, {"image", trained_by_image.value_or(image)}}, {{trains_whole ? "model" : "adapter", adapter}},
                             Json::object(), by, {{"learning_rate", 0.00005}});
  }
  Evaluation evaluated() {
    return record<EvaluateStep>({{"model", evaluated_model.value_or(model)}, {"data", evaluated_data.value_or(eval_data)}, {trains_whole ? "trained_model" : "adapter", evaluated_adapter.value_or(adapter)}},
                                {{"evaluation", crypto::sha256("evaluation")}},
                                {{"gate", gate}, {"metrics", {{"eval_loss", 1.2}}}, {"failures", Json::array()}, {"explanation", "as measured"}},
                                "operator", {{"thresholds", {{"perplexity_max", 20}}}});
  }

  TemporaryFolder folder = *TemporaryFolder::create();
  FakeClock clock;
  std::map<std::string, crypto::SigningKey> keys;
  provider::testing::FakeKms kms;
  provider::testing::FakeObjectStore objects;
  vault::ArtifactStore store{objects, {"workspace-1", {&kms, "fake:default"}, folder.path()}};
  std::unique_ptr<ledger::EvidenceLog> evidence;
  std::unique_ptr<provider::ModelRegistry> registry;

  Digest model, train_data, eval_data, adapter, image = crypto::sha256("image");
  // What the later statements say that they used: the true one where a test leaves it alone.
  std::optional<Digest> trained_on_model, trained_on_data, trained_by_image, evaluated_model, evaluated_data, evaluated_adapter;
  bool trains_whole = false;  // `adapter` is a whole model then
  std::string gate = "pass";
};

}  // namespace redoubt::governance
