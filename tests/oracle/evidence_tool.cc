// SPDX-License-Identifier: Apache-2.0
//
// Lets the oracle tests call attest/ and ledger/ without a workspace:
//   evidence_tool model-sign KEY.pem NAME DIR     writes DIR/model.sig
//   evidence_tool model-verify KEY.pub DIR        one problem a line; exit 4 when there is one
//   evidence_tool ledger DIR COUNT                a new ledger of COUNT entries "entry N"; its verifier key on stdout
//   evidence_tool proof DIR VKEY-FILE INDEX       the tlog-proof of an entry
//   evidence_tool provenance                      a train step's statement
#include <fmt/format.h>

#include "attest/model_signature.h"
#include "base/file.h"
#include "crypto/hash.h"
#include "ledger/evidence.h"

namespace {

using namespace redoubt;

constexpr const char* kOrigin = "redoubt.local/oracle";

Result<int> model_sign(const std::string& key_file, const std::string& name, const std::filesystem::path& folder) {
  const auto key = TRY(crypto::SigningKey::from_pem(Secret(TRY(read_text_file(key_file)))));
  TRY(write_file(folder / attest::kModelSignatureName,
                 TRY(attest::sign_model(name, TRY(attest::hash_model_folder(folder)), key))));
  return 0;
}

Result<int> model_verify(const std::string& key_file, const std::filesystem::path& folder) {
  const auto key = TRY(crypto::PublicKey::from_pem(TRY(read_text_file(key_file))));
  const auto problems = TRY(attest::verify_model_folder(folder, key));
  for (const auto& problem : problems) fmt::print("{} {}\n", problem.kind, problem.object);
  return problems.empty() ? 0 : 4;
}

Result<int> make_ledger(const std::filesystem::path& folder, int count) {
  const auto key = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  const auto writer = TRY(ledger::LedgerWriter::create({folder, {}, kOrigin}, key));
  for (int i = 0; i < count; ++i) TRY(writer->append(view_of(fmt::format("entry {}", i))));
  fmt::print("{}\n", ledger::to_text(ledger::NoteKey{kOrigin, key.public_key()}));
  return 0;
}

Result<int> prove(const std::filesystem::path& folder, const std::string& key_file, std::uint64_t index) {
  auto text = TRY(read_text_file(key_file));
  text.erase(text.find_last_not_of('\n') + 1);
  const auto key = TRY(ledger::parse_note_key(text));
  const auto reader = TRY(ledger::LedgerReader::open({folder, {}, kOrigin}, key.key));
  fmt::print("{}",
             ledger::to_text(ledger::TlogProof{index, TRY(reader->inclusion_proof(index)), reader->checkpoint().note}));
  return 0;
}

Result<int> provenance() {
  attest::StepRecord record{.step = "train", .input_key = crypto::sha256("key")};
  record.inputs = {{"model", crypto::sha256("model")}};
  record.outputs = {{"adapter", crypto::sha256("adapter")}};
  record.identity = "operator";
  record.parameters = {{"seed", 7}};
  fmt::print("{}", attest::to_text(TRY(attest::to_statement(record))));
  return 0;
}

Result<int> run(const std::vector<std::string>& words) {
  const auto is = [&](const char* command, std::size_t size) { return words.size() == size && words[0] == command; };
  if (is("model-sign", 4)) return model_sign(words[1], words[2], words[3]);
  if (is("model-verify", 3)) return model_verify(words[1], words[2]);
  if (is("ledger", 3)) return make_ledger(words[1], std::stoi(words[2]));
  if (is("proof", 4)) return prove(words[1], words[2], std::stoull(words[3]));
  if (is("provenance", 1)) return provenance();
  return fail(ErrorCode::invalid_argument, "usage: see the top of evidence_tool.cc");
}

}  // namespace

int main(int argc, char** argv) {
  const auto code = run({argv + 1, argv + argc});
  if (code) return *code;
  fmt::print(stderr, "{}: {}\n", code.error().where, code.error().message);
  return code.error().code == ErrorCode::tampered ? 4 : 1;
}
