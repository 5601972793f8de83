// SPDX-License-Identifier: Apache-2.0
//
// Signed notes, checkpoints, verifier keys and tlog-proofs. What is parsed and written again must be what was read.
#include "base/check.h"
#include "fuzz_input.h"
#include "ledger/tlog_proof.h"

using namespace redoubt::ledger;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const NoteKey key = *parse_note_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  const auto text = fuzz_text(data, size);
  if (const auto note = parse_note(text, "fuzz")) CHECK(text.starts_with(note->text) && !note->signatures.empty());
  if (const auto opened = open_note(text, key, "fuzz")) CHECK(text.starts_with(*opened));
  if (const auto checkpoint = open_checkpoint(text, key, "fuzz")) CHECK(checkpoint->note == text);
  if (const auto parsed = parse_note_key(text)) CHECK(to_text(*parsed) == text);
  if (const auto proof = parse_tlog_proof(text, "fuzz")) CHECK(*parse_tlog_proof(to_text(*proof), "fuzz") == *proof);
  return 0;
}
