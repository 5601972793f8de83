// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "ledger/ledger.h"

namespace redoubt::ledger {
namespace {
TEST(Ledger, every_entry_reads_back_and_every_root_is_that_of_its_leaves) {
  auto folder = *TemporaryFolder::create();
  LedgerOptions options{folder.path() / "ledger", folder.path() / "anchor/checkpoint", "redoubt.local/test"};
  auto key = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  auto writer = LedgerWriter::create(options, key);
  ASSERT_TRUE(writer);
  std::vector<Digest> leaves;
  for (int i = 0; i < 600; ++i) {
    const auto entry = "entry " + std::to_string(i);
    const auto index = (*writer)->append(view_of(entry));
    ASSERT_TRUE(index) << index.error().message << index.error().where;
    leaves.push_back(leaf_hash(view_of(entry)));
    ASSERT_EQ((*writer)->checkpoint().head.root, root_of_leaves(leaves));
  }
  auto reader = LedgerReader::open(options, key.public_key());
  ASSERT_TRUE(reader) << reader.error().message << reader.error().where;
  for (int i = 0; i < 600; ++i) ASSERT_EQ(text_of(*(*reader)->entry(i)), "entry " + std::to_string(i));
}
}
}
