// SPDX-License-Identifier: Apache-2.0
//
// A store and a folder of models in a temporary place, whose scan finds fault with files that hold the word "evil".
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "base/file.h"
#include "crypto/hash.h"
#include "hub/store.h"

namespace redoubt::hub::testing {

class StoreTest : public ::testing::Test {
 protected:
  Scan scan() {
    return [this](const Repository& repository) -> Result<std::vector<std::string>> {
      ++scans_;
      if (while_scanning_) while_scanning_(repository);
      std::vector<std::string> findings;
      for (const auto& file : repository.files) {
        if (read_text_file(file.location)->find("evil") != std::string::npos) findings.push_back(file.path + ": evil");
      }
      return findings;
    };
  }
  // A file that has come in and is kept.
  RepositoryFile keep(const std::string& path, std::string_view text) {
    EXPECT_TRUE(make_folder(store_.incoming()));
    const auto file = store_.incoming() / "file";
    EXPECT_TRUE(write_file(file, text));
    auto kept = store_.keep(file, path);
    EXPECT_TRUE(kept) << kept.error().message;
    return *kept;
  }
  static std::string commit_id(char digit) { return std::string(40, digit); }
  std::filesystem::path state() const { return folder_.path() / "state"; }

  int scans_ = 0;
  std::function<void(const Repository&)> while_scanning_;
  TemporaryFolder folder_ = *TemporaryFolder::create();
  Store store_{folder_.path() / "state"};
  Repositories folders_{{.root = folder_.path() / "root", .state = folder_.path() / "scans", .scan = scan(), .scanner = "test"}};
};

}  // namespace redoubt::hub::testing
