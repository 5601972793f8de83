// SPDX-License-Identifier: Apache-2.0
#include "model_scan/model_scan.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "base/file.h"
#include "model_scan/file_kinds.h"

namespace redoubt::model_scan {
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

TEST_F(ModelScanTest, code_and_archives_are_found_whatever_their_name) {
  EXPECT_EQ(kinds("pytorch_model.bin", "anything"), Kinds{"pickle"});
  EXPECT_EQ(kinds("LICENSE", "\x7f" "ELF"), Kinds{"code"});
  EXPECT_EQ(kinds("notes.txt", "#!/bin/sh\n"), Kinds{"code"});
  EXPECT_EQ(kinds("notes.txt", "MZ\x90"), Kinds{"code"});
  EXPECT_EQ(kinds("modeling_x.py", "import os"), Kinds{"code"});
  EXPECT_EQ(kinds("data.xyz", "?"), Kinds{"unknown"});
  for (std::string_view magic : {"PK\x03\x04", "\x1f\x8b\x08", "7z\xbc\xaf\x27\x1c", "\x89HDF\r\n\x1a\n", "BZh9", "Rar!\x1a\x07"}) {
    for (const char* name : {"config.json", "notes.txt", "model.safetensors", "model.gguf", "tokenizer.model", "picture.png"}) {
      const Kinds expected{name == std::string_view("model.safetensors") && magic.starts_with("BZ") ? "malformed" : "archive"};
      EXPECT_EQ(kinds(name, std::string(magic) + std::string(600, '\0')), expected) << name;
    }
  }
  std::string tar(1024, '\0');
  tar.replace(0, 5, "a.txt").replace(257, 5, "ustar");
  EXPECT_EQ(kinds("notes.txt", tar), Kinds{"archive"});
  EXPECT_EQ(kinds("notes.txt", std::string(512, 'x') + "\x89HDF\r\n\x1a\n"), Kinds{"archive"});
}

TEST_F(ModelScanTest, a_zip_file_is_found_behind_other_bytes) {
  // An empty archive: its end record alone.
  const std::string record = "PK\x05\x06" + std::string(18, '\0');
  EXPECT_EQ(kinds("notes.txt", "A text.\n" + record), Kinds{"archive"});
  const std::string header = R"({"a":{"dtype":"U8","shape":[30],"data_offsets":[0,30]}})";
  EXPECT_EQ(kinds("model.safetensors", safetensors(header, std::string(8, 'w') + record)), Kinds{"archive"});
  EXPECT_EQ(scan_model(folder_.path() / "m")->findings[0].offset, 8 + header.size() + 8);
  EXPECT_EQ(kinds("notes.txt", "PK is no archive: PK\x05\x06, said the text.\n"), Kinds{});
}

TEST_F(ModelScanTest, a_length_that_looks_like_a_magic_is_a_length) {
  // 0x0480 bytes of header look like PROTO 4, 0x5a4d like MZ, 0x8b1f like gzip.
  for (std::size_t length : {0x0280u, 0x0480u, 0x0580u, 0x5a4du, 0x8b1fu, 0x2123u}) {
    std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    header.resize(length, ' ');
    EXPECT_EQ(kinds("model.safetensors", safetensors(header, "abcd")), Kinds{}) << length;
  }
}

TEST_F(ModelScanTest, texts_are_utf8_without_nul) {
  EXPECT_EQ(kinds("vocab.txt", "caf\xe9\n"), Kinds{"malformed"});
  EXPECT_EQ(kinds("README.md", std::string_view("a\0b", 3)), Kinds{"malformed"});
  EXPECT_EQ(scan_model(folder_.path() / "m")->findings[0].offset, 1u);
  EXPECT_EQ(kinds("merges.txt", "#version: 0.2\n\xc4\xa0 t\n"), Kinds{});
  EXPECT_EQ(kinds("LICENSE-APACHE", "Apache\n"), Kinds{});
}

TEST_F(ModelScanTest, remote_code_and_broken_json_are_found) {
  EXPECT_EQ(kinds("config.json", R"({"auto_map":{"AutoModel":"x.Y"}})"), Kinds{"remote-code"});
  EXPECT_EQ(kinds("tokenizer_config.json", R"({"auto_map":["x.Y",null]})"), Kinds{"remote-code"});
  EXPECT_EQ(kinds("sub/preprocessor.json", R"([{"a":[{"auto_map":{"AutoModel":"x.Y"}}]}])"), Kinds{"remote-code"});
  EXPECT_EQ(kinds("config.json", R"({"vision_config":{"trust_remote_code":true}})"), Kinds{"remote-code"});
  EXPECT_EQ(kinds("config.json", R"({"custom_pipelines":{"x":{"impl":"x.Y"}}})"), Kinds{"remote-code"});
  EXPECT_EQ(kinds("config.json", R"({"auto_map":null,"trust_remote_code":false})"), Kinds{});
  EXPECT_EQ(kinds("tokenizer.json", R"({"model":{"vocab":{"auto_map":7,"custom_pipelines":8}}})"), Kinds{});
  EXPECT_EQ(kinds("m.safetensors", safetensors(R"({"__metadata__":{"auto_map":"x.Y"},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd")), Kinds{});
  EXPECT_EQ(kinds("config.json", "{"), Kinds{"malformed"});
  EXPECT_EQ(kinds("config.json", R"({"a":1,"a":2})"), Kinds{"malformed"});
  EXPECT_EQ(kinds("config.json", "\"caf\xe9\""), Kinds{"malformed"});
  EXPECT_EQ(kinds("config.json", ""), Kinds{"malformed"});
  EXPECT_EQ(kinds("tokenizer.json", std::string(200, '[')), Kinds{"malformed"});
}

TEST_F(ModelScanTest, sentencepiece_models_are_parsed) {
  // pieces { piece: "<unk>" score: 0 type: UNKNOWN } trainer_spec {}
  const std::string piece = "\x0a\x0e\x0a\x05<unk>\x15" + std::string(4, '\0') + "\x18\x02";
  EXPECT_EQ(kinds("tokenizer.model", piece + std::string("\x12\0", 2)), Kinds{});
  EXPECT_EQ(kinds("tokenizer.model", ""), Kinds{"malformed"});
  EXPECT_EQ(kinds("tokenizer.model", piece.substr(0, 9)), Kinds{"malformed"});
  EXPECT_EQ(kinds("tokenizer.model", piece + "\x3a\x01x"), Kinds{"malformed"});
  EXPECT_EQ(kinds("tokenizer.model", "\x0a\x03\x0a\x01\xff"), Kinds{"malformed"});
  EXPECT_EQ(kinds("tokenizer.model", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Kinds{"malformed"});
}

TEST_F(ModelScanTest, links_are_found) {
  ASSERT_TRUE(make_folder(folder_.path() / "m"));
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "m/config.json");
  const auto scan = *scan_model(folder_.path() / "m");
  ASSERT_EQ(scan.findings.size(), 1u);
  EXPECT_EQ(scan.findings[0].kind, "symlink");
  EXPECT_EQ(scan_model(folder_.path() / "nothing").error().code, ErrorCode::not_found);
}

TEST_F(ModelScanTest, nothing_special_is_opened) {
  const auto model = folder_.path() / "m";
  ASSERT_TRUE(make_folder(model / "sub"));
  EXPECT_EQ(scan_model(model).error().code, ErrorCode::not_found) << "no file is no model";
  ASSERT_EQ(::mkfifo((model / "sub/config.json").c_str(), 0600), 0);
  const auto scan = *scan_model(model);
  ASSERT_EQ(scan.findings.size(), 1u);
  EXPECT_EQ(scan.findings[0].kind, "special-file");
  EXPECT_EQ(scan.findings[0].path, "sub/config.json");
  EXPECT_EQ(scan_model(model / "sub/config.json")->findings[0].kind, "special-file");
  EXPECT_EQ(scan_model("/dev/zero")->findings[0].kind, "special-file");
}

TEST_F(ModelScanTest, folders_have_a_depth) {
  auto folder = folder_.path() / "m";
  for (int i = 0; i < 40; ++i) folder /= "d";
  ASSERT_TRUE(make_folder(folder));
  EXPECT_EQ(scan_model(folder_.path() / "m")->findings[0].kind, "malformed");
}

TEST_F(ModelScanTest, what_our_own_and_the_hubs_tools_leave_is_admitted) {
  EXPECT_EQ(kinds("model.sig", "{}"), Kinds{});
  EXPECT_EQ(kinds("sub/model.sig", "{}"), Kinds{"unknown"});
  EXPECT_EQ(kinds(".cache/huggingface/download/config.json.metadata", "c0ffee\n"), Kinds{});
}

}  // namespace
}  // namespace redoubt::model_scan
