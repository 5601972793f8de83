// SPDX-License-Identifier: Apache-2.0
#include "governance/recorder.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "governance/registry_view.h"
#include "provider/local/sqlite_registry.h"

namespace redoubt::governance {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

class RecorderTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();
  SigningKey ledger_key_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  SigningKey operator_key_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  FakeClock clock_;
  Result<bool> there_ = true;
  int runs_ = 0;
  std::unique_ptr<ledger::EvidenceLog> evidence_ = open_log(true);

  std::unique_ptr<ledger::EvidenceLog> open_log(bool create) {
    const ledger::LedgerOptions options{folder_.path() / "ledger", folder_.path() / "anchor", "redoubt.test/1"};
    const auto trusted = [this](std::string_view id) -> std::optional<attest::TrustedKey> {
      if (id == operator_key_.public_key().key_id()) return attest::TrustedKey{operator_key_.public_key(), "operator"};
      return std::nullopt;
    };
    return *(create ? ledger::EvidenceLog::create(options, ledger_key_, trusted) : ledger::EvidenceLog::open(options, ledger_key_, trusted));
  }
  StepRecorder recorder() {
    return StepRecorder(*evidence_, operator_key_, clock_, [this](const std::string&, const Digest&) { return there_; }, {"operator"});
  }
  Result<AcquiredModel> acquire(StepRecorder recorder, std::string commit) {
    return recorder.run<AcquireStep>({{}, {{"commit", commit}}}, [&]() -> Result<StepProduct> {
      ++runs_;
      return StepProduct{{{"model", crypto::sha256(commit)}}, {{"commit", commit}}};
    });
  }
};

TEST_F(RecorderTest, an_unchanged_step_is_run_once_even_by_another_process) {
  const auto first = *acquire(recorder(), "a");
  EXPECT_FALSE(first.reused());
  evidence_ = open_log(false);
  const auto again = *acquire(recorder(), "a");
  EXPECT_TRUE(again.reused());
  EXPECT_EQ(again.statement(), first.statement());
  EXPECT_EQ(*again.output("model"), crypto::sha256("a"));
  EXPECT_EQ(runs_, 1);
}

TEST_F(RecorderTest, another_parameter_or_a_lost_output_runs_it_again) {
  ASSERT_TRUE(acquire(recorder(), "a"));
  ASSERT_TRUE(acquire(recorder(), "b"));
  EXPECT_EQ(runs_, 2);
  there_ = false;
  ASSERT_TRUE(acquire(recorder(), "a"));
  EXPECT_EQ(runs_, 3);
}

TEST_F(RecorderTest, a_lost_output_that_comes_out_the_same_keeps_its_statement) {
  const auto first = *acquire(recorder(), "a");
  there_ = false;
  const auto again = *acquire(recorder(), "a");
  EXPECT_EQ(runs_, 2);
  EXPECT_EQ(again.statement(), first.statement());
  EXPECT_EQ(evidence_->of_step("acquire")->size(), 1u);
}

TEST_F(RecorderTest, a_store_that_does_not_answer_runs_nothing_again) {
  ASSERT_TRUE(acquire(recorder(), "a"));
  there_ = fail(ErrorCode::unavailable, "nobody answers");
  EXPECT_EQ(acquire(recorder(), "a").error().code, ErrorCode::unavailable);
  EXPECT_EQ(runs_, 1);
}

TEST_F(RecorderTest, a_failed_step_leaves_no_statement) {
  auto steps = recorder();
  const auto failed = steps.run<TrainStep>({}, []() -> Result<StepProduct> { return fail(ErrorCode::unavailable, "lost power"); });
  EXPECT_EQ(failed.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(evidence_->of_step("train")->empty());
}

TEST_F(RecorderTest, a_clock_that_runs_backwards_stops_the_step) {
  auto steps = recorder();
  const auto failed = steps.run<TrainStep>({}, [&]() -> Result<StepProduct> {
    clock_.advance(std::chrono::seconds(-5));
    return StepProduct{};
  });
  EXPECT_EQ(failed.error().code, ErrorCode::unavailable);
}

TEST_F(RecorderTest, a_statement_of_another_step_is_not_taken) {
  const auto model = *acquire(recorder(), "a");
  EXPECT_EQ(recorder().load<TrainStep>(model.statement()).error().code, ErrorCode::tampered);
}

class RegistryViewTest : public RecorderTest {
 protected:
  std::unique_ptr<provider::ModelRegistry> registry_ = open("registry.db");
  std::unique_ptr<provider::ModelRegistry> open(const char* name) {
    return *provider::local::SqliteRegistry::open({folder_.path() / name, Secret(Bytes(32, 1))});
  }
  template <class Step>
  void record(Json result, const char* output = nullptr) {
    StepPlan plan{{}, result};
    auto steps = recorder();
    const auto done = steps.run<Step>(plan, [&]() -> Result<StepProduct> {
      StepProduct product{{}, result};
      if (output != nullptr) product.outputs[output] = crypto::sha256(dump_json(result));
      return product;
    });
    ASSERT_TRUE(done) << done.error().message;
  }
  void record_version(const char* version, const char* state) {
    record<RegisterStep>({{"name", "m"}, {"version", version}, {"state", state}, {"metrics", {{"eval_loss", 1.2}}}, {"reason", ""}}, "release");
  }
};

TEST_F(RegistryViewTest, versions_reviews_and_deployments_are_replayed) {
  record_version("0.1.0", "PendingManualApproval");
  record_version("0.2.0", "PendingManualApproval");
  record<ReviewStep>({{"name", "m"}, {"version", "0.1.0"}, {"decision", "approve"}, {"reason", "good"}});
  record<DeployStep>({{"name", "m"}, {"version", "0.1.0"}, {"environment", "dev"}, {"previous", ""}});
  ASSERT_TRUE(catch_up(*evidence_, *registry_));
  record<ReviewStep>({{"name", "m"}, {"version", "0.2.0"}, {"decision", "approve"}, {"reason", "better"}});
  record<DeployStep>({{"name", "m"}, {"version", "0.2.0"}, {"environment", "dev"}, {"previous", "0.1.0"}});
  ASSERT_TRUE(catch_up(*evidence_, *registry_));
  const auto versions = *registry_->list();
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[0].state, provider::VersionState::approved);
  EXPECT_EQ(versions[1].state, provider::VersionState::deployed);
  auto empty = open("empty.db");
  EXPECT_TRUE(compare_with_ledger(*evidence_, *registry_, *empty)->empty());
}

TEST_F(RegistryViewTest, who_only_reads_writes_nothing) {
  record_version("0.1.0", "Rejected");
  ASSERT_TRUE(catch_up(*evidence_, *registry_));
  const std::uint64_t noted = *registry_->entries_applied();
  ASSERT_TRUE(acquire(recorder(), "a"));
  ASSERT_TRUE(catch_up(*evidence_, *registry_));
  EXPECT_EQ(*registry_->entries_applied(), noted) << "entries that move no version need no note";
  record<ReviewStep>({{"name", "m"}, {"version", "0.1.0"}, {"decision", "approve"}, {"reason", "good"}});
  ASSERT_TRUE(catch_up(*evidence_, *registry_));
  EXPECT_EQ(*registry_->entries_applied(), noted + 2);
}

TEST_F(RegistryViewTest, a_row_that_the_ledger_does_not_know_is_named) {
  record_version("0.1.0", "Rejected");
  ASSERT_TRUE(catch_up(*evidence_, *registry_));
  ASSERT_TRUE(registry_->apply({{9, {}, {{"m", "0.1.0", provider::VersionState::approved, "forged"}}}}));
  auto empty = open("empty.db");
  const auto differences = *compare_with_ledger(*evidence_, *registry_, *empty);
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].substr(0, 7), "m/0.1.0");
}

TEST(NextVersion, follows_semantic_versioning) {
  std::vector<provider::ModelVersion> versions(3);
  const char* texts[] = {"0.9.0", "0.10.1", "9.0.0"};
  for (int i = 0; i < 3; ++i) {
    versions[static_cast<std::size_t>(i)].name = i == 2 ? "other" : "m";
    versions[static_cast<std::size_t>(i)].version = texts[i];
  }
  EXPECT_EQ(next_version(versions, "m", "patch"), "0.10.2");
  EXPECT_EQ(next_version(versions, "m", "minor"), "0.11.0");
  EXPECT_EQ(next_version(versions, "m", "major"), "1.0.0");
  EXPECT_EQ(next_version({}, "m", "minor"), "0.1.0");
}

TEST(VersionName, takes_a_name_and_a_version_only) {
  EXPECT_EQ(parse_version_name("m/0.1.0")->version, "0.1.0");
  for (const char* bad : {"m", "/0.1.0", "m/", "m/0/1", "../m/1", "M/1", ""}) EXPECT_FALSE(parse_version_name(bad)) << bad;
}

}  // namespace
}  // namespace redoubt::governance
