// SPDX-License-Identifier: Apache-2.0
#include "ledger/evidence.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/file.h"
#include "crypto/hash.h"
#include "ledger/verify.h"

namespace redoubt::ledger {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

class EvidenceTest : public testing::Test {
 protected:
  attest::TrustedKeys trusted() {
    return [this](std::string_view id) -> std::optional<attest::TrustedKey> {
      if (id == operator_.public_key().key_id()) return attest::TrustedKey{operator_.public_key(), "operator"};
      if (id == reviewer_.public_key().key_id()) return attest::TrustedKey{reviewer_.public_key(), "reviewer"};
      return std::nullopt;
    };
  }
  attest::StepRecord step(std::string name, std::string key) {
    attest::StepRecord record;
    record.step = std::move(name);
    record.input_key = crypto::sha256(key);
    record.outputs = {{"out", crypto::sha256(key + "out")}};
    record.identity = "operator";
    return record;
  }
  std::unique_ptr<EvidenceLog> open() {
    auto log = EvidenceLog::open(options_, key_, trusted());
    EXPECT_TRUE(log) << log.error().message;
    return std::move(*log);
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create());
  LedgerOptions options_{folder_.path() / "ledger", folder_.path() / "outside/checkpoint", "redoubt.local/test"};
  SigningKey key_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  SigningKey operator_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  SigningKey reviewer_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  std::unique_ptr<EvidenceLog> log_ = *EvidenceLog::create(options_, key_, trusted());
};

TEST_F(EvidenceTest, statements_are_found_by_step_type_digest_and_input_key) {
  const auto first = *log_->append(step("data", "a"), operator_);
  ASSERT_TRUE(log_->append(step("train", "b"), operator_));
  const auto again = *log_->append(step("data", "a"), operator_);
  for (auto* log : {log_.get(), open().release()}) {
    std::unique_ptr<EvidenceLog> owned(log == log_.get() ? nullptr : log);
    EXPECT_EQ(log->of_step("data")->size(), 2u);
    EXPECT_EQ(log->with_type("https://slsa.dev/provenance/v1")->size(), 1u);
    EXPECT_EQ(log->with_type("urn:redoubt:predicate:data:v1")->front().digest, first.digest);
    EXPECT_EQ((*log->latest("data", crypto::sha256("a")))->index, again.index);
    EXPECT_FALSE(*log->latest("data", crypto::sha256("b")));
    EXPECT_EQ(log->find(first.digest)->identity, "operator");
    EXPECT_EQ(log->find(crypto::sha256("?")).error().code, ErrorCode::not_found);
    EXPECT_EQ(*attest::to_step_record(log->at(1)->statement), step("train", "b"));
  }
}

TEST_F(EvidenceTest, what_another_process_appends_is_seen) {
  auto other = open();
  ASSERT_TRUE(other->append(step("data", "a"), operator_));
  EXPECT_EQ(log_->of_step("data")->size(), 1u);
  ASSERT_TRUE(log_->append(step("data", "b"), operator_));
  EXPECT_EQ(other->of_step("data")->size(), 2u);
}

TEST_F(EvidenceTest, nobody_speaks_for_another_and_strangers_do_not_speak) {
  EXPECT_EQ(log_->append(step("data", "a"), reviewer_).error().code, ErrorCode::tampered);
  EXPECT_EQ(log_->append(step("data", "a"), SigningKey::generate(SignatureAlgorithm::ed25519)).error().code,
            ErrorCode::tampered);
  EXPECT_EQ(log_->checkpoint()->head.size, 0u);
}

TEST_F(EvidenceTest, an_entry_that_no_trusted_key_signed_is_tampered_and_named) {
  ASSERT_TRUE(log_->append(step("data", "a"), operator_));
  auto writer = *LedgerWriter::open(options_, key_);
  const auto forged =
      attest::sign_statement(*attest::to_statement(step("data", "b")), SigningKey::generate(SignatureAlgorithm::ed25519));
  ASSERT_TRUE(writer->append(view_of(forged)));
  ASSERT_TRUE(writer->append(view_of("no statement at all")));
  ASSERT_TRUE(log_->at(0));
  EXPECT_EQ(log_->at(1).error().code, ErrorCode::tampered);
  EXPECT_EQ(log_->at(2).error().code, ErrorCode::tampered);
  EXPECT_EQ(log_->of_step("data").error().code, ErrorCode::tampered);
  EXPECT_EQ(log_->latest("data", crypto::sha256("b")).error().code, ErrorCode::tampered);
  const auto problems = *log_->verify_statements();
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].object, "entry 1");
  EXPECT_EQ(problems[1].object, "entry 2");
}

TEST_F(EvidenceTest, a_statement_too_large_for_an_entry_is_refused) {
  auto record = step("data", "a");
  record.result["text"] = std::string(60'000, 'x');
  EXPECT_EQ(log_->append(record, operator_).error().code, ErrorCode::limit_exceeded);
}

TEST_F(EvidenceTest, export_gives_one_json_line_an_entry_and_receipts_verify) {
  for (const char* name : {"acquire", "train"}) ASSERT_TRUE(log_->append(step(name, name), operator_));
  MemorySink sink;
  EXPECT_EQ(*log_->export_lines(sink), 0u);
  std::istringstream lines(redoubt::to_text(sink.take()));
  std::uint64_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto json = *parse_json(line, "line");
    EXPECT_EQ(json.at("index"), count);
    EXPECT_EQ(json.at("verified"), true);
    EXPECT_EQ(json.at("identity"), "operator");
    EXPECT_TRUE(json.at("statement").at("predicate").is_object());
    EXPECT_EQ(json.at("leafHash"), leaf_hash(*log_->entry(count)).hex());
    const auto proof = *log_->proof(count);
    EXPECT_TRUE(verify_tlog_proof(*parse_tlog_proof(to_text(proof), "p"), *log_->entry(count),
                                  {options_.origin, key_.public_key()}, "p"));
  }
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(log_->proof(2).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace redoubt::ledger
