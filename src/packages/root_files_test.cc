// SPDX-License-Identifier: Apache-2.0
//
// Layers over one another: whiteouts, links, and records that are not what they seem.
#include "packages/root_files.h"

#include <gtest/gtest.h>

namespace redoubt::packages {
namespace {

class RootFilesTest : public ::testing::Test {
 protected:
  void file(const std::string& path, std::string_view text, bool is_executable = false) {
    MemorySource source(view_of(text));
    const auto added = root_.add_file(path, is_executable, source);
    ASSERT_TRUE(added) << added.error().message;
  }
  void python(const std::string& name, const std::string& version) { file("site-packages/" + name + ".dist-info/METADATA", "Name: " + name + "\nVersion: " + version + "\n"); }
  std::string names() {
    Distribution distribution;
    const auto inventory = root_.inventory(distribution);
    if (!inventory) return "error: " + inventory.error().message;
    std::string out;
    for (const auto& package : inventory->packages) out += package.name + "@" + package.version + " ";
    for (const auto& problem : inventory->problems) out += "problem:" + problem.place + " ";
    return out;
  }
  RootFiles root_;
};

TEST_F(RootFilesTest, a_whiteout_hides_what_lower_layers_have_and_nothing_of_its_own) {
  python("a", "1");
  python("b", "1");
  root_.begin_layer();
  python("c", "2");
  ASSERT_TRUE(root_.hide("site-packages/a.dist-info"));
  EXPECT_EQ(names(), "b@1 c@2 ");
  ASSERT_TRUE(root_.hide_contents("site-packages"));
  EXPECT_EQ(names(), "c@2 ");
}

TEST_F(RootFilesTest, a_later_layer_replaces_files_and_folders) {
  python("a", "1");
  root_.begin_layer();
  python("a", "2");
  EXPECT_EQ(names(), "a@2 ");
  file("site-packages", "no folder any more");
  EXPECT_EQ(names(), "");
}

TEST_F(RootFilesTest, paths_go_through_links_of_the_image) {
  ASSERT_TRUE(root_.add_symbolic_link("lib", "usr/lib"));
  file("lib/apk/db/installed", "P:musl\nV:1\n");
  file("etc/os-release", "ID=alpine\nVERSION_ID=3.18\n");
  EXPECT_EQ(names(), "musl@1 ");
  ASSERT_TRUE(root_.hide_contents("lib"));
  root_.begin_layer();
  ASSERT_TRUE(root_.hide_contents("lib"));
  EXPECT_EQ(names(), "problem:etc/os-release ");
}

TEST_F(RootFilesTest, links_never_lead_out_or_on_for_ever) {
  ASSERT_TRUE(root_.add_symbolic_link("a", "b"));
  ASSERT_TRUE(root_.add_symbolic_link("b", "a"));
  MemorySource source(view_of("x"));
  EXPECT_FALSE(root_.add_file("a/package.json", false, source));
  ASSERT_TRUE(root_.add_symbolic_link("up", "../../../../etc"));
  file("up/os-release", "ID=debian\nVERSION_ID=12\n");
  EXPECT_EQ(names(), "problem:etc/os-release ");
}

TEST_F(RootFilesTest, a_record_that_is_a_link_to_something_else_is_a_problem) {
  ASSERT_TRUE(root_.add_symbolic_link("x.dist-info/METADATA", "/hidden"));
  EXPECT_EQ(names(), "problem:x.dist-info/METADATA ");
  EXPECT_TRUE(root_.add_hard_link("y.dist-info/METADATA", "hidden"));
  EXPECT_EQ(names(), "problem:x.dist-info/METADATA problem:y.dist-info/METADATA ");
  EXPECT_TRUE(root_.add_hard_link("usr/share/doc/x/copyright", "hidden"));  // no package is missed
  EXPECT_FALSE(root_.add_hard_link("var/lib/dpkg/status", "hidden"));
}

TEST_F(RootFilesTest, hard_links_are_the_same_record) {
  python("a", "1");
  ASSERT_TRUE(root_.add_hard_link("copy/a.dist-info/METADATA", "site-packages/a.dist-info/METADATA"));
  EXPECT_EQ(names(), "a@1 ");
  root_.begin_layer();
  ASSERT_TRUE(root_.hide("site-packages"));
  EXPECT_EQ(names(), "a@1 ");
}

TEST_F(RootFilesTest, a_link_that_comes_after_its_file_is_read_with_the_layer_once_more) {
  const std::string_view text = R"({"name": "left-pad", "version": "1.3.0"})";
  const auto again = [&](const std::string& path) {
    MemorySource source(view_of(text));
    EXPECT_TRUE(root_.read_for_links(path, source));
  };
  file("store/files/00/ab", text);
  EXPECT_FALSE(root_.has_unread_links());
  ASSERT_TRUE(root_.add_hard_link("app/node_modules/left-pad/package.json", "store/files/00/ab"));
  ASSERT_TRUE(root_.add_hard_link("other/node_modules/left-pad/package.json", "store/files/00/ab"));
  ASSERT_TRUE(root_.add_hard_link("gone/node_modules/left-pad/package.json", "store/files/00/ab"));
  file("gone/node_modules/left-pad/package.json", R"({"name": "another", "version": "2.0.0"})");
  EXPECT_TRUE(root_.has_unread_links());
  again("store/files/00/cd");
  EXPECT_EQ(names(), "another@2.0.0 problem:app/node_modules/left-pad/package.json problem:other/node_modules/left-pad/package.json ");
  again("store/files/00/ab");
  EXPECT_EQ(names(), "another@2.0.0 left-pad@1.3.0 ");
  root_.begin_layer();
  EXPECT_FALSE(root_.has_unread_links());
}

TEST_F(RootFilesTest, a_damaged_database_is_an_error_of_the_whole) {
  file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
  file("var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\n");
  EXPECT_TRUE(names().starts_with("error: dpkg"));
}

TEST_F(RootFilesTest, a_distribution_without_its_database_is_a_problem) {
  file("usr/lib/os-release", "ID=rocky\nVERSION_ID=9\n");
  ASSERT_TRUE(root_.add_symbolic_link("etc/os-release", "../usr/lib/os-release"));
  EXPECT_EQ(names(), "problem:etc/os-release ");
}

TEST_F(RootFilesTest, a_damaged_package_among_many_is_a_problem) {
  file("app/node_modules/a/package.json", R"({"name":"a","version":"1"})");
  file("app/node_modules/b/package.json", "{");
  file("app/node_modules/a/test/broken/package.json", "{");
  file("app/package-lock.json", R"({"lockfileVersion":3,"packages":{"node_modules/z":{"version":"1"}}})");
  EXPECT_EQ(names(), "a@1 problem:app/node_modules/b/package.json ");
}

TEST_F(RootFilesTest, a_lock_file_counts_where_nothing_is_installed) {
  file("app/package-lock.json", R"({"lockfileVersion":3,"packages":{"node_modules/z":{"version":"1.0.0"}}})");
  EXPECT_EQ(names(), "z@1.0.0 ");
}

TEST_F(RootFilesTest, limits_hold) {
  RootFiles small({.entries_max = 2, .text_bytes_max = 100, .record_bytes_max = 50, .program_bytes_max = 50});
  const std::string long_text(60, 'x');
  MemorySource source(view_of(long_text));
  EXPECT_EQ(small.add_file("package.json", false, source).error().code, ErrorCode::limit_exceeded);
  EXPECT_TRUE(small.add_folder("a"));
  EXPECT_EQ(small.add_folder("b").error().code, ErrorCode::limit_exceeded);
}

TEST_F(RootFilesTest, a_python_package_belongs_to_the_debian_package_whose_file_its_record_is) {
  const auto owners = [&] {
    Distribution distribution;
    std::string out;
    const auto inventory = *root_.inventory(distribution);
    for (const auto& package : inventory.packages) {
      if (package.ecosystem == "PyPI") out += package.name + "@" + package.version + ":" + package.owner + " ";
    }
    return out;
  };
  const auto metadata = [&](const std::string& path, const char* name, const char* version) { file(path, std::string("Name: ") + name + "\nVersion: " + version + "\n"); };
  file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
  file("var/lib/dpkg/status",
       "Package: python3-yaml\nStatus: install ok installed\nVersion: 6.0-3\n\nPackage: python3-six\nStatus: install ok installed\nVersion: 1.16\n\nPackage: python3-gone\nStatus: deinstall ok config-files\nVersion: 1\n");
  ASSERT_TRUE(root_.add_symbolic_link("lib", "usr/lib"));
  const std::string packages = "usr/lib/python3/dist-packages/";
  metadata(packages + "PyYAML-6.0.egg-info/PKG-INFO", "PyYAML", "6.0");
  metadata(packages + "six-1.16.0.egg-info", "six", "1.16.0");
  metadata(packages + "gone-1.dist-info/METADATA", "gone", "1");
  metadata(packages + "requests-2.28.1.dist-info/METADATA", "requests", "2.28.1");
  file("var/lib/dpkg/info/python3-yaml:amd64.list", "/.\n/usr\n/usr/lib/python3/dist-packages/PyYAML-6.0.egg-info\n/usr/lib/python3/dist-packages/PyYAML-6.0.egg-info/PKG-INFO\n");
  file("var/lib/dpkg/info/python3-six.list", "/lib/python3/dist-packages/six-1.16.0.egg-info\n");
  file("var/lib/dpkg/info/python3-gone.list", "/usr/lib/python3/dist-packages/gone-1.dist-info/METADATA\n");
  EXPECT_EQ(owners(), "PyYAML@6.0:python3-yaml gone@1: requests@2.28.1: six@1.16.0:python3-six ");
  // pip's own copy of the same version is nobody's, and makes the entry nobody's.
  root_.begin_layer();
  metadata("usr/local/lib/python3.11/dist-packages/PyYAML-6.0.dist-info/METADATA", "PyYAML", "6.0");
  metadata(packages + "six-1.17.0.dist-info/METADATA", "six", "1.17.0");
  EXPECT_EQ(owners(), "PyYAML@6.0: gone@1: requests@2.28.1: six@1.16.0:python3-six six@1.17.0: ");
}

TEST_F(RootFilesTest, distroless_images_tell_of_files_by_their_sums) {
  file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
  file("var/lib/dpkg/status.d/python3-six", "Package: python3-six\nVersion: 1.16\n");
  file("var/lib/dpkg/status.d/python3-six.md5sums", "0123456789abcdef0123456789abcdef  usr/lib/python3/dist-packages/six-1.16.0.egg-info\n");
  file("usr/lib/python3/dist-packages/six-1.16.0.egg-info", "Name: six\nVersion: 1.16.0\n");
  Distribution distribution;
  const auto inventory = *root_.inventory(distribution);
  ASSERT_EQ(inventory.packages.size(), 2u);
  EXPECT_EQ(inventory.packages[1].owner, "python3-six");
}

}  // namespace
}  // namespace redoubt::packages
