// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/model_scan.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "stages/acquire/file_kinds.h"

namespace redoubt::stages::acquire {
namespace {

class ModelScanTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();

  // The kinds found in a folder that holds just this file.
  std::vector<std::string> kinds(const std::string& name, std::string_view contents) {
    std::filesystem::remove_all(folder_.path() / "m");
    EXPECT_TRUE(make_folder((folder_.path() / "m" / name).parent_path()));
    EXPECT_TRUE(write_file(folder_.path() / "m" / name, contents));
    const auto scan = scan_model(folder_.path() / "m");
    EXPECT_TRUE(scan);
    std::vector<std::string> found;
    for (const auto& finding : scan->findings) found.push_back(finding.kind);
    return found;
  }
  using Kinds = std::vector<std::string>;
  static std::string safetensors(std::string_view header, std::string_view data) {
    std::string file;
    for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(header.size() >> (8 * i)));
    return file + std::string(header) + std::string(data);
  }
};

TEST_F(ModelScanTest, a_plain_model_is_safe) {
  EXPECT_EQ(kinds("model.safetensors", safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "abcd")), Kinds{});
  EXPECT_EQ(kinds("config.json", R"({"model_type":"llama"})"), Kinds{});
  EXPECT_EQ(kinds("README.md", "# A model\n"), Kinds{});
}

TEST_F(ModelScanTest, broken_safetensors_are_found) {
  EXPECT_EQ(kinds("m.safetensors", "short"), Kinds{"malformed"});
  EXPECT_EQ(kinds("m.safetensors", safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "abcd")), Kinds{"malformed"});
  EXPECT_EQ(kinds("m.safetensors", safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", "abcdef")), Kinds{"malformed"});
}

TEST_F(ModelScanTest, pickles_code_and_archives_are_found_whatever_their_name) {
  EXPECT_EQ(kinds("model.safetensors", "\x80\x04\x95\x0b\x00"), Kinds{"pickle"});
  EXPECT_EQ(kinds("weights.json", "cos\nsystem\n(S'true'\ntR."), Kinds{"pickle"});
  EXPECT_EQ(kinds("pytorch_model.bin", "anything"), Kinds{"pickle"});
  EXPECT_EQ(kinds("notes.txt", "PK\x03\x04"), Kinds{"archive"});
  EXPECT_EQ(kinds("LICENSE", "\x7f" "ELF"), Kinds{"code"});
  EXPECT_EQ(kinds("modeling_x.py", "import os"), Kinds{"code"});
  EXPECT_EQ(kinds("data.xyz", "?"), Kinds{"unknown"});
}

TEST_F(ModelScanTest, remote_code_and_broken_json_are_found) {
  EXPECT_EQ(kinds("config.json", R"({"auto_map":{"AutoModel":"x.Y"}})"), Kinds{"remote-code"});
  EXPECT_EQ(kinds("config.json", "{"), Kinds{"malformed"});
  EXPECT_EQ(kinds("tokenizer.json", std::string(200, '[')), Kinds{"malformed"});
}

TEST_F(ModelScanTest, links_are_found) {
  ASSERT_TRUE(make_folder(folder_.path() / "m"));
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "m/config.json");
  const auto scan = *scan_model(folder_.path() / "m");
  ASSERT_EQ(scan.findings.size(), 1u);
  EXPECT_EQ(scan.findings[0].kind, "symlink");
  EXPECT_EQ(scan_model(folder_.path() / "nothing").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace redoubt::stages::acquire
