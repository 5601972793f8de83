// SPDX-License-Identifier: Apache-2.0
//
// What the documents say; that they are valid is told by others' validators in tests/oracle/sbom_test.py.
#include "sbom/sbom.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "sbom/licences.h"

namespace redoubt::sbom {
namespace {

using packages::Package;

packages::Inventory two_packages() {
  Package app{"npm", "app", "1.0.0", "", ""}, left{"npm", "left", "2.0.0", "", ""};
  app.needs = {"left", "nowhere"};
  app.licences = {"MIT License"};
  app.purl = "pkg:npm/app@1.0.0";
  left.purl = "pkg:npm/left@2.0.0";
  left.licences = {"a licence of its own"};
  return {{app, left}, {}};
}

TEST(CycloneDx, packages_come_back_as_they_were) {
  const auto inventory = two_packages();
  const Json sbom = to_cyclonedx({"image:1", "", {}}, inventory, {"debian", "12", "bookworm", "Debian 12"});
  const auto back = packages_of_cyclonedx(sbom);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[0].name, "app");
  EXPECT_EQ((*back)[0].ecosystem, "npm");
  EXPECT_EQ((*back)[1].purl, "pkg:npm/left@2.0.0");
  EXPECT_EQ(to_cyclonedx({"image:1", "", {}}, inventory), to_cyclonedx({"image:1", "", {}}, inventory));
}

TEST(CycloneDx, needs_are_dependencies_as_far_as_they_are_there) {
  const Json sbom = to_cyclonedx({"i", "", {}}, two_packages());
  EXPECT_EQ(sbom["dependencies"][0], (Json{{"ref", "pkg:npm/app@1.0.0"}, {"dependsOn", {"pkg:npm/left@2.0.0"}}}));
  EXPECT_EQ(sbom["components"][0]["licenses"][0]["license"]["id"], "MIT");
  EXPECT_EQ(sbom["components"][1]["licenses"][0]["license"]["name"], "a licence of its own");
}

TEST(Spdx, a_licence_that_spdx_does_not_list_is_explained) {
  const Json document = to_spdx({"i", "", crypto::sha256("x")}, two_packages(), {}, *parse_rfc3339("2026-11-20T01:02:03.456Z"));
  EXPECT_EQ(document["creationInfo"]["created"], "2026-11-20T01:02:03Z");
  EXPECT_EQ(document["packages"][1]["licenseDeclared"], "MIT");
  EXPECT_EQ(document["packages"][2]["licenseDeclared"], document["hasExtractedLicensingInfos"][0]["licenseId"]);
}

TEST(Licences, expressions_are_taken_only_where_every_word_is_known) {
  EXPECT_EQ(spdx_expression("(MIT OR Apache-2.0)"), "(MIT OR Apache-2.0)");
  EXPECT_EQ(spdx_expression("apache license 2.0"), "Apache-2.0");
  for (const char* wrong : {"", "MIT OR", "OR MIT", "MIT MIT", "(MIT", "MIT)", "MIT OR Nothing-1.0", "()", "(MIT) (MIT)", "MIT (MIT)"}) EXPECT_FALSE(spdx_expression(wrong)) << wrong;
}

TEST(ModelBom, names_files_licence_data_and_base) {
  const auto folder = *TemporaryFolder::create();
  ASSERT_TRUE(write_file(folder.path() / "model.safetensors", std::string_view("weights")));
  ASSERT_TRUE(write_file(folder.path() / "config.json", std::string_view(R"({"model_type":"llama","architectures":["LlamaForCausalLM"],"_name_or_path":"acme/tiny"})")));
  ASSERT_TRUE(write_file(folder.path() / "README.md", std::string_view("---\nlicense: apache-2.0\nbase_model: acme/base\ndatasets:\n- acme/rows\npipeline_tag: text-generation\n---\nText\n")));
  const Json model = (*model_to_cyclonedx(folder.path()))["metadata"]["component"];
  EXPECT_EQ(model["type"], "machine-learning-model");
  EXPECT_EQ(model["purl"], "pkg:huggingface/acme/tiny");
  EXPECT_EQ(model["licenses"][0]["license"]["id"], "Apache-2.0");
  EXPECT_EQ(model["pedigree"]["ancestors"][0]["purl"], "pkg:huggingface/acme/base");
  EXPECT_EQ(model["modelCard"]["modelParameters"]["datasets"][0]["name"], "acme/rows");
  EXPECT_EQ(model["modelCard"]["modelParameters"]["modelArchitecture"], "LlamaForCausalLM");
  EXPECT_EQ(model["components"].size(), 3u);
  const auto empty = *TemporaryFolder::create();
  EXPECT_EQ(model_to_cyclonedx(empty.path()).error().code, ErrorCode::not_found);
  ASSERT_TRUE(write_file(folder.path() / "README.md", std::string_view("---\nlicense: x\n")));
  EXPECT_EQ(model_to_cyclonedx(folder.path()).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace redoubt::sbom
