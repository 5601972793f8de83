// SPDX-License-Identifier: Apache-2.0
//
// The parts of a recipe by themselves. What whole builds come to is judged by other tools in tests/oracle/image_build_test.py.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "stages/image/recipe/build.h"
#include "stages/image/recipe/glob.h"
#include "stages/image/recipe/lint.h"
#include "stages/image/recipe/secrets.h"
#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

Words words(char escape = '\\') {
  return Words(escape, [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "one two";
    if (name == "E") return "";
    return std::nullopt;
  });
}

// https://docs.docker.com/reference/dockerfile/#environment-replacement
TEST(Words, variables_and_quotes_are_as_in_a_dockerfile) {
  const std::pair<const char*, const char*> cases[] = {
      {"$A", "one two"}, {"${A}", "one two"}, {"x${A}y", "xone twoy"}, {"$B", ""}, {"${B:-w}", "w"}, {"${B:+w}", ""}, {"${A:-w}", "one two"}, {"${A:+w}", "w"}, {"${E:-w}", "w"},
      {"${E-w}", ""}, {"${E:+w}", ""}, {"${E+w}", "w"}, {"\\$A", "$A"}, {"'$A'", "$A"}, {"\"$A\"", "one two"}, {"\"\\$A\"", "$A"}, {"\"a\\nb\"", "a\\nb"}, {"a\\ b", "a b"},
      {"${B:-${A}}", "one two"}, {"${B:-'}'}", "}"}, {"$$", ""}, {"$", "$"}, {"$1x", "x"}, {"${B:-\"a b\"}", "a b"}};
  for (const auto& [text, expected] : cases) {
    const auto got = words().expand(text);
    ASSERT_TRUE(got) << text << got.error().message;
    EXPECT_EQ(*got, expected) << text;
  }
  for (const char* text : {"'a", "\"a", "${A", "${}", "${A#x}", "${A:=x}", "${B:?}", "${B?no}", "${B:-", "${B:-${A}"}) EXPECT_FALSE(words().expand(text)) << text;
  EXPECT_EQ(*words('`').expand("C:\\x`$A"), "C:\\x$A");
}

TEST(Words, split_and_pairs_mind_the_quotes) {
  EXPECT_EQ(words().split("a 'b c' d\\ e \"f g\""), (std::vector<std::string>{"a", "'b c'", "d\\ e", "\"f g\""}));
  EXPECT_EQ(*words().expand_and_split("80 $A 'x y'"), (std::vector<std::string>{"80", "one", "two", "x y"}));
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(*words().pairs("a=b c='d e' f=\"$A\""), (Pairs{{"a", "b"}, {"c", "d e"}, {"f", "one two"}}));
  EXPECT_EQ(*words().pairs("a b  c"), (Pairs{{"a", "b  c"}}));
  for (const char* text : {"", "a", "a=b c", "=b"}) EXPECT_FALSE(words().pairs(text)) << text;
}

TEST(Words, variables_that_hold_each_other_do_not_grow_without_end) {
  const std::string big(600'000, 'x');
  const Words grown('\\', [&](const std::string&) { return std::optional(big); });
  EXPECT_EQ(grown.expand("$A$A$A$A").error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(grown.expand("\"$A$A$A$A\"").error().code, ErrorCode::limit_exceeded);
  std::string nested;
  for (int i = 0; i < 100; ++i) nested += "${B:-";
  EXPECT_FALSE(words().expand(nested));
}

// Go's path/filepath.Match, and the patterns of Docker's documentation for .dockerignore.
TEST(Glob, patterns_fit_what_go_says) {
  const std::tuple<const char*, const char*, bool> cases[] = {
      {"*", "a", true}, {"*", "", true}, {"a*", "abc", true}, {"a*b*c", "aXbYc", true}, {"a*b", "ac", false}, {"?", "a", true}, {"?", "", false}, {"[a-c]x", "bx", true},
      {"[^a-c]x", "dx", true}, {"[^a-c]x", "bx", false}, {"[]a]", "]", true}, {"\\*", "*", true}, {"\\*", "a", false}, {"[a", "a", false}, {"a[", "a", false}, {"*.txt", "a.txt", true}, {"*.txt", "a.txd", false}};
  for (const auto& [pattern, name, expected] : cases) EXPECT_EQ(matches_name(pattern, name), expected) << pattern << " " << name;
  const std::tuple<const char*, const char*, bool> paths[] = {
      {"**/*.go", "a.go", true}, {"**/*.go", "x/y/a.go", true}, {"*/temp*", "a/tempx", true}, {"*/temp*", "a/b/tempx", false}, {"*/*/temp*", "a/b/tempx", true}, {"a/**", "a/b/c", true},
      {"a/**", "a", false}, {"a/**/z", "a/z", true}, {"a/**/z", "a/b/c/z", true}, {"**", "a/b", true}, {"a", "a/b", false}, {"", "a", false}};
  for (const auto& [pattern, path, expected] : paths) EXPECT_EQ(matches_path(pattern, path), expected) << pattern << " " << path;
  std::string hard, name;
  for (int i = 0; i < 2000; ++i) hard += "*a", name += "a";
  EXPECT_FALSE(matches_name(hard + "b", name));
}

TEST(Glob, the_last_rule_of_an_ignore_list_decides) {
  const auto rules = IgnoreRules::parse("# comment\n\n  *.md \n!README*.md\nREADME-secret.md\n/build/\ndocs/**\n!docs/keep\n./x/../y\n");
  for (const char* path : {"a.md", "README-secret.md", "build", "build/a/b", "docs/a", "y"}) EXPECT_TRUE(rules.ignores(path)) << path;
  for (const char* path : {"README.md", "a/b.md", "docs", "docs/keep", "x", "comment"}) EXPECT_FALSE(rules.ignores(path)) << path;
  EXPECT_TRUE(rules.has_exceptions());
  EXPECT_TRUE(IgnoreRules::parse("*\n!a").ignores("b"));
  EXPECT_FALSE(IgnoreRules::parse("*\n!a").ignores("a/c"));
}

TEST(DockerfileText, lines_comments_flags_and_heredocs_are_taken_apart) {
  const auto file = *parse_dockerfile("# syntax=docker/dockerfile:1\n# escape=`\n\nfrom a:1 as b\r\ncopy --chown=1:2 --from=b x `\n  # within\n\n  y `\n  /z\nRUN <<EOF cat\nFROM no\nEOF\nUSER 1\n", "D");
  ASSERT_EQ(file.instructions.size(), 4u);
  EXPECT_EQ(file.escape, '`');
  EXPECT_EQ(file.instructions[0].keyword, "FROM");
  EXPECT_EQ(file.instructions[0].line, 4);
  EXPECT_EQ(file.instructions[1].text, "x   y   /z");
  EXPECT_EQ(file.instructions[1].flags[0].value, "1:2");
  EXPECT_EQ(file.instructions[2].heredocs[0].body, "FROM no\n");
  EXPECT_EQ(file.instructions[3].line, 13);
  for (const char* text : {"FROM a\nRUN <<EOF\nx\n", "# escape=x\n", "# escape=\\\n# escape=\\\n", "FROM a\n\x01\n", "FROM \xff\n", "# syntax=evil/x\nFROM a\n", "$x\n"}) EXPECT_FALSE(parse_dockerfile(text, "D")) << text;
  EXPECT_EQ(parse_dockerfile(std::string_view("FROM a\nUSER \0b\n", 15), "D").error().where, "D:2");
  // After the first line that is none, a directive is a comment.
  EXPECT_EQ(parse_dockerfile("\n# escape=`\nFROM a\n", "D")->escape, '\\');
}

TEST(DockerfileText, only_a_word_begins_a_here_document) {
  for (const char* text : {"RUN x=$((1<<shift))\n", "RUN python -c 'x = 1 <<bits'\n", "RUN echo \"<<EOF\"\n", "RUN cat <<<word\n", "RUN x << 1\n", "ENV P=a\\\\\n"}) {
    const auto file = parse_dockerfile("FROM a\n" + std::string(text) + "USER 1\n", "D");
    ASSERT_TRUE(file) << text;
    ASSERT_EQ(file->instructions.size(), 3u) << text;
    EXPECT_TRUE(file->instructions[1].heredocs.empty()) << text;
  }
  for (const char* name : {"EOF", "a.txt", "END-1"}) {
    for (const std::string& start : {std::string(name), "-" + std::string(name), "'" + std::string(name) + "'", std::string(name) + ">/x"}) {
      const auto file = parse_dockerfile("FROM a\nRUN cat 3<<" + start + " y\nUSER no\n" + name + "\nUSER 1\n", "D");
      ASSERT_TRUE(file) << start;
      ASSERT_EQ(file->instructions.size(), 3u) << start;
      EXPECT_EQ(file->instructions[1].heredocs.at(0).body, "USER no\n") << start;
    }
  }
}

TEST(Values, modes_ports_and_signals) {
  EXPECT_EQ(*parse_mode("755"), 0755u);
  EXPECT_EQ(*parse_mode("0644"), 0644u);
  for (const char* text : {"", "7", "888", "u+x", "07777", "-755"}) EXPECT_FALSE(parse_mode(text)) << text;
  EXPECT_EQ(*parse_ports("80"), std::vector<std::string>{"80/tcp"});
  EXPECT_EQ(parse_ports("8000-8002/udp")->size(), 3u);
  EXPECT_EQ(*parse_ports("53/UDP"), std::vector<std::string>{"53/udp"});
  for (const char* text : {"", "0", "65536", "80/x", "9-8", "a", "-1", "1-"}) EXPECT_FALSE(parse_ports(text)) << text;
  for (const char* text : {"SIGTERM", "KILL", "9", "64", "SIGRTMIN+3", "RTMAX-2"}) EXPECT_TRUE(check_signal(text)) << text;
  for (const char* text : {"", "0", "65", "SIGNO", "RTMIN+99", "sigterm"}) EXPECT_FALSE(check_signal(text)) << text;
}

TEST(Lint, a_mode_that_is_none_is_no_end_of_it) {
  const auto rules_of = [](const std::string& mode) {
    std::string rules;
    for (const auto& finding : lint_dockerfile(*parse_dockerfile("FROM scratch\nCOPY --chmod=" + mode + " a /b\nUSER 1\n", "D"))) rules += finding.rule + " ";
    return rules;
  };
  EXPECT_EQ(rules_of("4755"), "RD1003 DL3057 ");
  for (const char* mode : {"999", "888", "08", "u+x", "", "00000", "0755"}) EXPECT_EQ(rules_of(mode), "DL3057 ") << mode;
}

// CVE-2024-40635: a runtime took numbers beyond 31 bits for root's.
TEST(Values, users) {
  for (const char* text : {"0", "65532", "2147483647", "65532:65533", "nobody", "nobody:0", "user-1"}) EXPECT_TRUE(check_user(text)) << text;
  for (const char* text : {"", ":", "1:", ":1", "1:2:3", "a b", "2147483648", "4294967296", "1:4294967296", "99999999999999999999"}) EXPECT_FALSE(check_user(text)) << text;
  for (const char* text : {"0", "00", "2147483648", "4294967296"}) EXPECT_TRUE(is_number_of_root(text)) << text;
  for (const char* text : {"", "1", "01", "root", "-0"}) EXPECT_FALSE(is_number_of_root(text)) << text;
}

// The forms that the issuers document; no real secret. The parts are joined here so that no scanner takes this file for one.
TEST(Secrets, known_forms_are_found_and_look_alikes_are_not) {
  const std::string key = "-----BEGIN " + std::string("PRIVATE KEY-----\n"), open_pgp = "-----BEGIN " + std::string("PGP PRIVATE KEY BLOCK-----\n\n"), body(64, 'M');
  for (const std::string& text : {std::string("AKIA") + "QWERTYUIOPASDFGH", "x=ghp_" + std::string(36, 'a'), "hf_" + std::string(34, 'B'), key + body, open_pgp + body, std::string("https://user:s3cr3t-word@host/x"), "glpat-" + std::string(20, 'c')}) {
    EXPECT_FALSE(secrets_in(text).empty()) << text;
  }
  for (const std::string& text : {std::string("AKIAIOSFODNN7EXAMPLE"), "AKIA" + std::string(15, 'A'), "xAKIA" + std::string(16, 'Q'), key, key + "short", std::string("https://host:80/x@y"), std::string("https://user@host"), std::string("https://user:$PASSWORD@host")}) {
    EXPECT_TRUE(secrets_in(text).empty()) << text;
  }
  for (const char* name : {"DB_PASSWORD", "api_key", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "secret"}) EXPECT_TRUE(is_secret_name(name)) << name;
  for (const char* name : {"TOKENIZER", "MAX_TOKENS", "PASSWORD_FILE", "SECRET_NAME", "PATH", "KEY"}) EXPECT_FALSE(is_secret_name(name)) << name;
}

TEST(Secrets, one_across_two_pieces_of_a_stream_is_found) {
  std::string text((1 << 20) - 10, ' ');
  text += "AKIA" + std::string("QWERTYUIOPASDFGH") + std::string(1 << 20, ' ');
  MemorySource source(view_of(text));
  const auto found = *secrets_in(source);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].offset, (1u << 20) - 10);
}

class BuildTest : public ::testing::Test {
 protected:
  Result<Recipe> build(const std::string& text) {
    EXPECT_TRUE(write_file(folder_.path() / "Dockerfile", text));
    return read_dockerfile({folder_.path() / "Dockerfile", folder_.path(), {}, {}, {}, 0, {}}, progress_);
  }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  NoProgress progress_;
};

TEST_F(BuildTest, what_is_not_taken_is_refused_by_name_line_and_cure) {
  for (const char* line : {"RUN x", "ADD a /b", "VOLUME /x", "HEALTHCHECK NONE", "ONBUILD USER 1", "SHELL [\"a\"]", "MAINTAINER me", "COPY <<EOF /x\ny\nEOF", "COPY --parents a /b", "COPY --exclude=x a /b", "FOO", "COPI a b"}) {
    const auto refused = build(std::string("FROM scratch\n\n") + line + "\n");
    ASSERT_FALSE(refused) << line;
    EXPECT_TRUE(refused.error().where.ends_with("Dockerfile:3")) << line << refused.error().where;
    EXPECT_NE(refused.error().message.find(std::string(line).substr(0, std::string(line).find(' '))), std::string::npos) << refused.error().message;
    EXPECT_FALSE(refused.error().hint.empty()) << line;
  }
}

TEST_F(BuildTest, nothing_outside_of_the_folder_is_read) {
  ASSERT_TRUE(make_folder(folder_.path() / "sub"));
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "out");
  std::filesystem::create_symlink("/etc", folder_.path() / "outdir");
  std::filesystem::create_symlink("..", folder_.path() / "up");
  ASSERT_EQ(::mkfifo((folder_.path() / "pipe").c_str(), 0600), 0);
  for (const char* source : {"../x", "/../x", "a/../../x", "out", "outdir", "outdir/passwd", "up", "up/x", "pipe", "missing", "no*"}) {
    EXPECT_FALSE(build(std::string("FROM scratch\nCOPY ") + source + " /x\n")) << source;
  }
  EXPECT_FALSE(build("FROM scratch\nCOPY sub /../../x\n"));
  // A link within a copied folder stays a link; nothing is read through it.
  ASSERT_TRUE(make_folder(folder_.path() / "links"));
  std::filesystem::create_symlink("/etc/passwd", folder_.path() / "links/l");
  const auto kept = build("FROM scratch\nCOPY links /l\n");
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(kept->stage.tree().find("l/l")->link, "/etc/passwd");
}

}  // namespace
}  // namespace redoubt::stages::image::recipe
