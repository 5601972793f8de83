// SPDX-License-Identifier: Apache-2.0
//
// Signed statements in the ledger, and how they are found again. Appending signs with the identity's key and is durable when
// it returns; every read verifies the entry against the ledger's root and the signature against the trusted keys.
// `tampered` is passed on as it is.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "attest/dsse.h"
#include "attest/step_statement.h"
#include "base/problem.h"
#include "base/stream.h"
#include "ledger/ledger.h"
#include "ledger/tlog_proof.h"

namespace redoubt::ledger {

// A statement of the ledger, verified.
struct Evidence {
  std::uint64_t index = 0;
  Digest digest;  // of the statement: how others name it ("statement:train")
  attest::Statement statement;
  std::string key_id;
  std::string identity;  // whose key signed
};

class EvidenceLog {
 public:
  // `key` is the ledger's own key; `trusted` knows all identities' keys, those of former ones too, and must outlive the log.
  static Result<std::unique_ptr<EvidenceLog>> create(LedgerOptions options, crypto::SigningKey key,
                                                     attest::TrustedKeys trusted);
  static Result<std::unique_ptr<EvidenceLog>> open(LedgerOptions options, crypto::SigningKey key,
                                                   attest::TrustedKeys trusted);

  // limit_exceeded when the signed statement is larger than an entry may be.
  Result<Evidence> append(const attest::Statement& statement, const crypto::SigningKey& signer);
  Result<Evidence> append(const attest::StepRecord& record, const crypto::SigningKey& signer);

  // Also sees what other processes appended. All are safe from several threads.
  Result<Evidence> at(std::uint64_t index);                                  // not_found
  Result<Evidence> find(const Digest& statement);                            // by digest; not_found
  Result<std::vector<Evidence>> with_type(std::string_view predicate_type);  // in ledger order
  Result<std::vector<Evidence>> of_step(std::string_view step);              // in ledger order
  // The newest statement of that step for that input key, if there is one: the step cache.
  Result<std::optional<Evidence>> latest(std::string_view step, const Digest& input_key);

  // The raw entry (a DSSE envelope), and the receipt for it below the newest checkpoint.
  Result<Bytes> entry(std::uint64_t index);
  Result<TlogProof> proof(std::uint64_t index);
  Result<std::vector<TlogProof>> proofs(const std::vector<std::uint64_t>& indices);  // all below one checkpoint
  Result<Checkpoint> checkpoint();

  // Every entry that is no statement by a trusted key ("signature", "entry 7", why).
  Result<Problems> verify_statements();
  // One JSON line an entry: index, leafHash, and verified with keyid, identity, digest, statement, or else with the problem. Answers how
  // many did not verify.
  Result<std::uint64_t> export_lines(Sink& sink);

 private:
  struct Row {
    Digest digest;
    std::string predicate_type, step;
    Digest input_key;
  };
  EvidenceLog(std::unique_ptr<LedgerWriter> writer, std::unique_ptr<LedgerReader> reader, attest::TrustedKeys trusted)
      : writer_(std::move(writer)), reader_(std::move(reader)), trusted_(std::move(trusted)) {}
  static Result<std::unique_ptr<EvidenceLog>> make(const LedgerOptions& options, const crypto::PublicKey& key,
                                                   std::unique_ptr<LedgerWriter> writer, attest::TrustedKeys trusted);
  Status catch_up();
  Result<Evidence> read(std::uint64_t index);
  Result<TlogProof> make_proof(std::uint64_t index);
  template <class Matches>
  Result<std::vector<Evidence>> select(Matches matches);

  std::mutex mutex_;
  std::unique_ptr<LedgerWriter> writer_;
  std::unique_ptr<LedgerReader> reader_;
  attest::TrustedKeys trusted_;
  std::vector<Row> rows_;  // one an entry; what it says is believed only after `read`
};

}  // namespace redoubt::ledger
