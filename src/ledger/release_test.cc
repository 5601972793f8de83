// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "attest/model_signature.h"
#include "base/file.h"
#include "crypto/hash.h"
#include "ledger/release_format.h"

namespace redoubt::ledger {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

std::string manifest_of(const std::map<std::string, std::string>& files) {
  Json list = Json::array();
  for (const auto& [path, text] : files)
    list.push_back({{"path", path}, {"size", text.size()}, {"sha256", crypto::sha256(text).hex()}});
  return dump_json({{"version", 1}, {"kind", "test"}, {"files", list}});
}

using Spoil = std::function<void(attest::StepRecord&)>;

// A whole release, as the pipeline makes it, in a ledger of its own.
class ReleaseTest : public testing::Test {
 protected:
  void SetUp() override {
    log_ = *EvidenceLog::create(options_, root_, [this](std::string_view id) -> std::optional<attest::TrustedKey> {
      for (const auto& [name, key] : keys_) {
        if (key.public_key().key_id() == id) return attest::TrustedKey{key.public_key(), name};
      }
      return std::nullopt;
    });
  }

  Digest append(attest::StepRecord record, const std::string& identity = "operator") {
    record.input_key = crypto::sha256(record.step + std::to_string(count_++));
    record.identity = identity;
    if (spoil_) spoil_(record);
    const auto entry = log_->append(record, keys_.at(record.identity));
    EXPECT_TRUE(entry) << entry.error().message;
    contents_.entries.push_back(entry->index);
    return entry->digest;
  }

  // The steps up to the registration; `spoil` changes a record before it is signed.
  void make_chain(Spoil spoil = {}) {
    spoil_ = std::move(spoil);
    const std::map<std::string, std::string> model{{"config.json", "{}"}, {"model.safetensors", "weights"}},
        adapter{{"adapter.safetensors", "delta"}}, whole{{"config.json", "{}"}, {"model.safetensors", "other weights"}};
    const auto& trained = trains_whole_ ? whole : adapter;
    std::map<std::string, std::string> release;
    for (const auto& [path, text] : trains_whole_ ? whole : model) release["base/" + path] = text;
    if (!trains_whole_)
      for (const auto& [path, text] : adapter) release["adapter/" + path] = text;
    std::vector<attest::ModelResource> resources;
    for (const auto& [path, text] : release) resources.push_back({path, crypto::sha256(text)});
    const std::map<std::string, std::string> card{{"card.md", "# card"}, {"card.json", "{}"}},
        signature{{"model.pub", model_key_.public_key().to_pem()},
                  {"model.sig", *attest::sign_model("m", resources, model_key_)}};
    const std::string sbom = "{\"bomFormat\":\"CycloneDX\"}";
    const auto digest = [](const std::map<std::string, std::string>& files) { return crypto::sha256(manifest_of(files)); };
    const Digest train = crypto::sha256("train"), eval = crypto::sha256("eval"), image = crypto::sha256("image");

    std::map<std::string, Digest> said;
    said["statement:acquire"] = append({.step = "acquire", .outputs = {{"model", digest(model)}}});
    said["statement:data"] = append({.step = "data", .outputs = {{"train", train}, {"eval", eval}}});
    said["statement:image"] = append({.step = "image", .outputs = {{"image", image}, {"sbom", crypto::sha256(sbom)}}});
    said["statement:train"] = append({.step = "train",
                                      .inputs = {{"model", digest(model)}, {"data", train}, {"image", image}},
                                      .outputs = {{trains_whole_ ? "model" : "adapter", digest(trained)}}});
    said["statement:evaluate"] =
        append({.step = "evaluate",
                .inputs = {{"model", digest(model)}, {"data", eval}, {"image", image}, {trains_whole_ ? "trained_model" : "adapter", digest(trained)}},
                .outputs = {{"evaluation", crypto::sha256("evaluation")}},
                .result = {{"gate", "pass"}}});
    registered_ =
        append({.step = "register",
                .inputs = said,
                .outputs = {{"release", digest(release)}, {"card", digest(card)}, {"signature", digest(signature)}},
                .result = {{"name", "m"}, {"version", "1.0.0"}}});
    const auto bytes = [](const std::map<std::string, std::string>& files) {
      std::map<std::string, Bytes> result;
      for (const auto& [path, text] : files) result[path] = to_bytes(text);
      return result;
    };
    contents_.artifacts = {{"acquire", "model", manifest_of(model), {}},
                           {"train", trains_whole_ ? "model" : "adapter", manifest_of(trained), {}},
                           {"register", "release", manifest_of(release), {}},
                           {"register", "card", manifest_of(card), bytes(card)},
                           {"register", "signature", manifest_of(signature), bytes(signature)},
                           {"image", "sbom", "", {{"", to_bytes(sbom)}}}};
  }
  void make_review(const std::string& identity = "reviewer", const char* decision = "approve") {
    reviewed_ = append(
        {.step = "review", .inputs = {{"statement:register", registered_}}, .result = {{"decision", decision}}}, identity);
  }
  void make_deployment() { append({.step = "deploy", .inputs = {{"statement:review", reviewed_}}}); }
  std::string bundle() {
    contents_.name = "m", contents_.version = "1.0.0";
    contents_.identities.clear();
    for (const auto& [name, key] : keys_) {
      contents_.identities.push_back({name, {name == "reviewer" ? "reviewer" : "operator"}, {key.public_key()}});
    }
    const auto text = make_release_bundle(*log_, root_, contents_);
    EXPECT_TRUE(text) << text.error().message;
    return *text;
  }
  ReleaseReport verify(std::string_view text) { return verify_release_bundle(text, root_.public_key()); }
  // What a bundle of a chain that was spoilt is blamed for.
  std::string verdict(std::string_view text) {
    std::string all;
    for (const auto& problem : verify(text).problems)
      all += problem.kind + "|" + problem.object + "|" + problem.detail + "\n";
    return all;
  }
  void expect_blamed(const std::string& text, const std::string& kind, const std::string& object) {
    EXPECT_NE(verdict(text).find(kind + "|" + object), std::string::npos) << "wanted " << kind << "|" << object << ", got\n"
                                                                          << verdict(text);
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create());
  LedgerOptions options_{folder_.path() / "ledger", folder_.path() / "outside/checkpoint", "redoubt.local/test"};
  SigningKey root_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  SigningKey model_key_ = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  std::map<std::string, SigningKey> keys_{{"operator", SigningKey::generate(SignatureAlgorithm::ed25519)},
                                          {"reviewer", SigningKey::generate(SignatureAlgorithm::ed25519)},
                                          {"somebody", SigningKey::generate(SignatureAlgorithm::ed25519)}};
  std::unique_ptr<EvidenceLog> log_;
  ReleaseContents contents_;
  Digest registered_, reviewed_;
  Spoil spoil_;
  int count_ = 0;
  bool trains_whole_ = false;
};

TEST_F(ReleaseTest, a_whole_release_verifies_with_and_without_the_known_root) {
  make_chain(), make_review(), make_deployment();
  const auto text = bundle();
  const auto report = verify(text);
  EXPECT_EQ(verdict(text), "");
  EXPECT_EQ(report.name, "m");
  EXPECT_EQ(report.version, "1.0.0");
  EXPECT_TRUE(report.root_known);
  EXPECT_EQ(report.steps.size(), 8u);
  const auto alone = verify_release_bundle(text, std::nullopt);
  EXPECT_TRUE(alone.problems.empty());
  EXPECT_FALSE(alone.root_known);
  EXPECT_EQ(alone.root, to_text(NoteKey{options_.origin, root_.public_key()}));
  EXPECT_EQ(text_of(*release_file(text, "register/card/card.md")), "# card");
  EXPECT_EQ(release_file(text, "register/card/none").error().code, ErrorCode::not_found);
}

TEST_F(ReleaseTest, the_chain_is_found_in_a_ledger_with_other_releases) {
  make_chain();
  contents_.entries.clear();
  make_chain();  // a second registration of the same version number does not mix in
  make_review(), make_deployment();
  const auto wanted = contents_.entries;
  auto release = find_release(*log_, "m", "1.0.0");
  ASSERT_TRUE(release);
  EXPECT_EQ(release->size(), 6u);  // the first registration, which nobody reviewed
  EXPECT_EQ(find_release(*log_, "m", "9.0.0").error().code, ErrorCode::not_found);
  EXPECT_EQ(verdict(bundle()), "");
}

TEST_F(ReleaseTest, every_flipped_bit_is_detected) {
  make_chain(), make_review();
  const auto good = bundle();
  ASSERT_EQ(verdict(good), "");
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 1500; ++i) {
    auto bad = good;
    const auto at = random() % bad.size();
    bad[at] = static_cast<char>(bad[at] ^ (1 << (random() % 8)));
    EXPECT_FALSE(verify(bad).problems.empty()) << at;
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(verify(good.substr(0, random() % good.size())).problems.empty());
    auto longer = good;
    longer.insert(random() % longer.size(), 1, ' ');
    EXPECT_FALSE(verify(longer).problems.empty());
  }
  EXPECT_FALSE(verify(good + "\n").problems.empty());
}

TEST_F(ReleaseTest, each_changed_part_is_named) {
  make_chain(), make_review();
  const auto text = bundle();
  const auto good = *parse_release_bundle(text);
  const auto blame = [&](const std::function<void(ReleaseBundle&)>& change, const std::string& kind,
                         const std::string& object) {
    auto bad = good;
    change(bad);
    expect_blamed(to_text(bad), kind, object);
  };
  blame([](ReleaseBundle& b) { b.checkpoint[20] ^= 1; }, "checkpoint", "checkpoint");
  blame([](ReleaseBundle& b) { b.summary[40] ^= 1; }, "signature", "summary");
  blame([](ReleaseBundle& b) { b.statements[3].proof[0].value[0] ^= 1; }, "proof", "statement 3");
  blame([](ReleaseBundle& b) { b.statements[3].index = 4; }, "proof", "statement 4");
  blame([](ReleaseBundle& b) { b.statements[2].envelope[30] ^= 1; }, "signature", "statement 2");
  blame([](ReleaseBundle& b) { b.statements[6].envelope[b.statements[6].envelope.size() - 20] ^= 1; }, "signature",
        "statement 6");
  blame([](ReleaseBundle& b) { b.statements.erase(b.statements.begin() + 4); }, "chain", "evaluate");
  blame([](ReleaseBundle& b) { b.statements.pop_back(); }, "review", "review");
  blame([](ReleaseBundle& b) { b.statements.push_back(b.statements[0]); }, "chain", "acquire");
  blame([](ReleaseBundle& b) { std::swap(b.statements[0].envelope, b.statements[1].envelope); }, "proof", "statement 0");
  blame([](ReleaseBundle& b) { b.artifacts[3].files["card.md"][0] ^= 1; }, "artifact", "register/card/card.md");
  blame([](ReleaseBundle& b) { b.artifacts[3].files.erase("card.md"); }, "artifact", "register/card/card.md");
  blame([](ReleaseBundle& b) { b.artifacts[3].files["more.md"] = {}; }, "artifact", "register/card/more.md");
  blame([](ReleaseBundle& b) { b.artifacts[2].manifest[5] ^= 1; }, "artifact", "register/release");
  blame([](ReleaseBundle& b) { b.artifacts[5].files[""][3] ^= 1; }, "artifact", "image/sbom");
  blame([](ReleaseBundle& b) { b.artifacts.erase(b.artifacts.begin() + 4); }, "artifact", "register/signature");
  blame([](ReleaseBundle& b) { b.artifacts[0].step = "data"; }, "artifact", "data/model");
  blame([](ReleaseBundle& b) { b.root[0] ^= 1; }, "root", "");
}

TEST_F(ReleaseTest, a_model_that_was_trained_whole_stands_in_the_place_of_its_base) {
  trains_whole_ = true;
  make_chain(), make_review();
  EXPECT_TRUE(verify(bundle()).problems.empty());
  contents_.entries.clear();
  make_chain([](attest::StepRecord& record) {
    if (record.step == "evaluate") record.inputs["trained_model"] = crypto::sha256("another");
  });
  make_review();
  expect_blamed(bundle(), "chain", "evaluate");
  contents_.entries.clear();
  make_chain([](attest::StepRecord& record) {
    if (record.step == "train") record.outputs["adapter"] = record.outputs.extract("model").mapped();
  });
  make_review();
  expect_blamed(bundle(), "artifact", "train/model");
}

TEST_F(ReleaseTest, a_bundle_of_another_ledger_is_refused) {
  make_chain(), make_review();
  const auto text = bundle();
  const auto report = verify_release_bundle(text, SigningKey::generate(SignatureAlgorithm::ed25519).public_key());
  ASSERT_FALSE(report.problems.empty());
  EXPECT_EQ(report.problems[0].kind, "root");
}

// Signed with every key there is, but not what a release has to be.
TEST_F(ReleaseTest, a_chain_that_breaks_a_rule_is_blamed_for_it) {
  struct Case {
    const char* step;
    void (*spoil)(attest::StepRecord&);
    const char* kind;
    const char* object;
  };
  for (const auto& [step, spoil, kind, object] : {
           Case{"train", [](attest::StepRecord& r) { r.inputs["model"] = crypto::sha256("another"); }, "chain", "train"},
           Case{"train", [](attest::StepRecord& r) { r.inputs.erase("data"); }, "chain", "train"},
           Case{"evaluate", [](attest::StepRecord& r) { r.inputs["adapter"] = crypto::sha256("another"); }, "chain",
                "evaluate"},
           Case{"evaluate", [](attest::StepRecord& r) { r.inputs["data"] = crypto::sha256("train"); }, "chain", "evaluate"},
           Case{"evaluate", [](attest::StepRecord& r) { r.result["gate"] = "fail"; }, "gate", "evaluate"},
           Case{"evaluate", [](attest::StepRecord& r) { r.result.erase("gate"); }, "gate", "evaluate"},
           Case{"register", [](attest::StepRecord& r) { r.inputs.erase("statement:data"); }, "chain", "register"},
           Case{"register", [](attest::StepRecord& r) { r.inputs["statement:data"] = r.inputs["statement:acquire"]; },
                "chain", "data"},
           Case{"register", [](attest::StepRecord& r) { r.outputs["release"] = crypto::sha256("another"); }, "artifact",
                "register/release"},
           Case{"register", [](attest::StepRecord& r) { r.result["version"] = "2.0.0"; }, "contents", "name"},
           Case{"image", [](attest::StepRecord& r) { r.outputs["sbom"] = crypto::sha256("another"); }, "artifact",
                "image/sbom"},
           Case{"data", [](attest::StepRecord& r) { r.started = r.finished + std::chrono::seconds(1); }, "order", "data"},
       }) {
    contents_.entries.clear();
    make_chain([&, name = std::string(step)](attest::StepRecord& record) {
      if (record.step == name) spoil(record);
    });
    make_review();
    expect_blamed(bundle(), kind, object);
  }
}

TEST_F(ReleaseTest, four_eyes_are_needed) {
  make_chain();
  expect_blamed(bundle(), "review", "review|nobody has reviewed");
  make_review("operator");
  expect_blamed(bundle(), "review", "review|'operator' ran the pipeline");
  contents_.entries.pop_back();
  make_review("somebody");
  expect_blamed(bundle(), "review", "review|'somebody' does not have the role");
  contents_.entries.pop_back();
  make_review("reviewer", "reject");
  expect_blamed(bundle(), "review", "review|the last decision about this version is 'reject'");
  make_review();
  EXPECT_EQ(verdict(bundle()), "");
  make_review("reviewer", "revoke");
  expect_blamed(bundle(), "review", "review|the last decision about this version is 'revoke'");
}

TEST_F(ReleaseTest, a_model_signature_over_other_files_is_refused) {
  make_chain();
  make_review();
  auto& signature = contents_.artifacts[4];
  signature.files["model.sig"] = to_bytes(*attest::sign_model("m", {{"other", crypto::sha256("x")}}, model_key_));
  const auto text = verdict(bundle());
  EXPECT_NE(text.find("artifact|register/signature/model.sig"), std::string::npos);
  EXPECT_NE(text.find("model-signature|base/config.json"), std::string::npos);
}

}  // namespace
}  // namespace redoubt::ledger
