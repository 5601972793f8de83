// SPDX-License-Identifier: Apache-2.0
#include "ledger/evidence.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/hash.h"

namespace redoubt::ledger {
namespace {

std::string name_of(std::uint64_t index) { return fmt::format("entry {}", index); }

Result<Evidence> verify_entry(std::uint64_t index, ByteView entry, const attest::TrustedKeys& trusted) {
  auto verified = TRY(attest::verify_statement(text_of(entry), trusted, name_of(index)));
  const auto record = attest::to_step_record(verified.statement);
  // Nobody speaks for another: the identity that a step's statement names is the one whose key signed it.
  if (record && record->identity != verified.identity) {
    return fail(
        ErrorCode::tampered,
        fmt::format("the statement names the identity '{}' and is signed by '{}'", record->identity, verified.identity),
        name_of(index));
  }
  return Evidence{index, verified.digest, std::move(verified.statement), std::move(verified.key_id),
                  std::move(verified.identity)};
}

}  // namespace

Result<std::unique_ptr<EvidenceLog>> EvidenceLog::make(const LedgerOptions& options, const crypto::PublicKey& key,
                                                       std::unique_ptr<LedgerWriter> writer, attest::TrustedKeys trusted) {
  auto reader = TRY(LedgerReader::open(options, key));
  return std::unique_ptr<EvidenceLog>(new EvidenceLog(std::move(writer), std::move(reader), std::move(trusted)));
}

Result<std::unique_ptr<EvidenceLog>> EvidenceLog::create(LedgerOptions options, crypto::SigningKey key,
                                                         attest::TrustedKeys trusted) {
  auto writer = TRY(LedgerWriter::create(options, key));
  return make(options, key.public_key(), std::move(writer), std::move(trusted));
}

Result<std::unique_ptr<EvidenceLog>> EvidenceLog::open(LedgerOptions options, crypto::SigningKey key,
                                                       attest::TrustedKeys trusted) {
  auto writer = TRY(LedgerWriter::open(options, key));
  return make(options, key.public_key(), std::move(writer), std::move(trusted));
}

// Indexes the entries that came since. An entry that is no statement gets an empty row; reading it says why.
Status EvidenceLog::catch_up() {
  TRY(reader_->refresh());
  return reader_->for_each(rows_.size(), [this](std::uint64_t, ByteView entry) -> Status {
    Row row;
    if (const auto envelope = attest::parse_envelope(text_of(entry), "entry")) {
      row.digest = crypto::sha256(envelope->payload);
      if (const auto statement = attest::parse_statement(text_of(envelope->payload), "entry")) {
        row.predicate_type = statement->predicate_type;
        if (const auto record = attest::to_step_record(*statement)) {
          row.step = record->step;
          row.input_key = record->input_key;
        }
      }
    }
    rows_.push_back(std::move(row));
    return {};
  });
}

Result<Evidence> EvidenceLog::read(std::uint64_t index) { return verify_entry(index, TRY(reader_->entry(index)), trusted_); }

template <class Matches>
Result<std::vector<Evidence>> EvidenceLog::select(Matches matches) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  std::vector<Evidence> found;
  for (std::uint64_t index = 0; index < rows_.size(); ++index) {
    if (matches(rows_[index])) found.push_back(TRY(read(index)));
  }
  return found;
}

Result<Evidence> EvidenceLog::append(const attest::Statement& statement, const crypto::SigningKey& signer) {
  const auto entry = attest::sign_statement(statement, signer);
  if (entry.size() > kEntryBytesMax) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("a statement of {} bytes; the ledger takes {}", entry.size(), kEntryBytesMax),
                statement.predicate_type, "store large things as artifacts and name them by digest");
  }
  // What could not be verified when read back must not be written at all.
  auto evidence = TRY(verify_entry(0, view_of(entry), trusted_));
  evidence.index = TRY(writer_->append(view_of(entry)));
  return evidence;
}

Result<Evidence> EvidenceLog::append(const attest::StepRecord& record, const crypto::SigningKey& signer) {
  return append(TRY(attest::to_statement(record)), signer);
}

Result<Evidence> EvidenceLog::at(std::uint64_t index) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  return read(index);
}

Result<Evidence> EvidenceLog::find(const Digest& statement) {
  auto found = TRY(select([&](const Row& row) { return row.digest == statement; }));
  if (found.empty()) return fail(ErrorCode::not_found, "the ledger has no such statement", statement.tagged());
  return std::move(found.back());
}

Result<std::vector<Evidence>> EvidenceLog::with_type(std::string_view predicate_type) {
  return select([&](const Row& row) { return !row.predicate_type.empty() && row.predicate_type == predicate_type; });
}

Result<std::vector<Evidence>> EvidenceLog::of_step(std::string_view step) {
  return select([&](const Row& row) { return !row.step.empty() && row.step == step; });
}

Result<std::optional<Evidence>> EvidenceLog::latest(std::string_view step, const Digest& input_key) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  const auto row = std::find_if(rows_.rbegin(), rows_.rend(), [&](const Row& each) {
    return each.step == step && each.input_key == input_key && !step.empty();
  });
  if (row == rows_.rend()) return std::nullopt;
  return std::optional(TRY(read(static_cast<std::uint64_t>(rows_.rend() - row) - 1)));
}

Result<Bytes> EvidenceLog::entry(std::uint64_t index) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  return reader_->entry(index);
}

Result<TlogProof> EvidenceLog::make_proof(std::uint64_t index) {
  if (index >= reader_->size()) return fail(ErrorCode::not_found, "the ledger has no such entry", name_of(index));
  auto proof = TRY(reader_->inclusion_proof(index));
  return TlogProof{index, std::move(proof), reader_->checkpoint().note};
}

Result<TlogProof> EvidenceLog::proof(std::uint64_t index) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  return make_proof(index);
}

Result<std::vector<TlogProof>> EvidenceLog::proofs(const std::vector<std::uint64_t>& indices) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  std::vector<TlogProof> proofs;
  for (const auto index : indices) proofs.push_back(TRY(make_proof(index)));
  return proofs;
}

Result<Checkpoint> EvidenceLog::checkpoint() {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  return reader_->checkpoint();
}

Result<Problems> EvidenceLog::verify_statements() {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  Problems problems;
  TRY(reader_->for_each(0, [&](std::uint64_t index, ByteView entry) -> Status {
    const auto evidence = verify_entry(index, entry, trusted_);
    if (!evidence) problems.push_back({"signature", name_of(index), evidence.error().message});
    return {};
  }));
  return problems;
}

Result<std::uint64_t> EvidenceLog::export_lines(Sink& sink) {
  const std::lock_guard guard(mutex_);
  TRY(catch_up());
  std::uint64_t unverified = 0;
  TRY(reader_->for_each(0, [&](std::uint64_t index, ByteView entry) -> Status {
    Json line = {{"index", index}, {"leafHash", leaf_hash(entry).hex()}};
    const auto evidence = verify_entry(index, entry, trusted_);
    line["verified"] = evidence.has_value();
    if (evidence) {
      line["keyid"] = evidence->key_id;
      line["identity"] = evidence->identity;
      line["digest"] = evidence->digest.tagged();
      line["statement"] = *parse_json(attest::to_text(evidence->statement), "statement");
    } else {
      line["problem"] = evidence.error().message;
      ++unverified;
    }
    return sink.write(view_of(dump_json(line) + "\n"));
  }));
  return unverified;
}

}  // namespace redoubt::ledger
