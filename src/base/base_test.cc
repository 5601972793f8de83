// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <future>
#include <limits>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_text.h"
#include "base/json_writer.h"
#include "base/secret.h"
#include "base/terminal.h"

namespace redoubt {
namespace {

// RFC 4648 section 10.
TEST(Base64, matches_the_vectors_of_rfc_4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(to_base64(view_of(plain)), encoded);
    EXPECT_EQ(to_text(*from_base64(encoded)), plain);
  }
}

TEST(Base64, refuses_stray_bits_white_space_and_bad_lengths) {
  for (const char* bad : {"Zh==", "Zg=", "Zg", "Z===", "Zm 9", "Zm9v\n", "Zm9v=", "===="}) EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(Digest, parses_only_whole_digests) {
  const std::string hex(64, 'a');
  EXPECT_EQ(Digest::parse("sha256:" + hex)->hex(), hex);
  EXPECT_EQ(Digest::parse(hex)->tagged(), "sha256:" + hex);
  EXPECT_FALSE(Digest::parse(hex.substr(1)));
  EXPECT_FALSE(Digest::parse("sha512:" + hex));
}

TEST(Json, refuses_duplicate_keys_deep_nesting_and_bad_utf8) {
  EXPECT_EQ(parse_json(R"({"a":1,"a":2})", "test").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(parse_json(std::string(100, '[') + std::string(100, ']'), "test").error().code, ErrorCode::limit_exceeded);
  EXPECT_FALSE(parse_json("\"\xff\"", "test"));
  EXPECT_FALSE(parse_json("{} x", "test"));
  EXPECT_FALSE(parse_json("", "test"));
}

// To the library a NUL is the end of the text, whatever stands behind it.
TEST(Json, a_text_does_not_end_at_a_NUL) {
  using namespace std::string_view_literals;
  for (const auto text : {"1\0"sv, "1\0 2"sv, "{\"a\": 1}\0{"sv, "\0"sv, "[1,\0 2]"sv}) {
    const auto json = parse_json(text, "file.json");
    ASSERT_FALSE(json);
    EXPECT_EQ(json.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(json.error().where, "file.json");
  }
}

TEST(JsonTest, a_member_of_another_type_gives_the_fallback_and_never_an_exception) {
  const Json json = {{"text", "a"}, {"number", 1.5}, {"whole", 3}, {"huge", UINT64_MAX}, {"list", Json::array({1})}, {"yes", true}};
  EXPECT_EQ(json_or(json, "text", "b"), "a");
  EXPECT_EQ(json_or(json, "whole", "b"), "b");
  EXPECT_EQ(json_or(json, "none", "b"), "b");
  EXPECT_EQ(json_or(json, "whole", std::int64_t{7}), 3);
  EXPECT_EQ(json_or(json, "huge", std::int64_t{7}), 7);
  EXPECT_EQ(json_or(json, "number", std::int64_t{7}), 7);
  EXPECT_EQ(json_or(json, "whole", 0.5), 3.0);
  EXPECT_EQ(json_or(json, "text", 0.5), 0.5);
  EXPECT_TRUE(json_or(json, "yes", false));
  EXPECT_FALSE(json_or(json, "text", false));
  EXPECT_EQ(json_or(json, "list", Json::array()), Json::array({1}));
  EXPECT_EQ(json_or(json, "list", Json::object()), Json::object());
  EXPECT_EQ(json_or(json, "list", Json()), Json::array({1}));
  for (const Json& no_object : {Json(), Json("text"), Json::array({1})}) EXPECT_EQ(json_or(no_object, "text", "b"), "b");
}

TEST(Json, reads_what_it_dumps) {
  const auto value = *parse_json(R"({"b":[1,2.5,"x",null,true,{"k":{}}],"a":-3})", "test");
  EXPECT_EQ(dump_json(value), R"({"a":-3,"b":[1,2.5,"x",null,true,{"k":{}}]})");
  EXPECT_EQ(*json_integer(value, "a", "test"), -3);
  EXPECT_EQ(json_string(value, "a", "row 7").error().where, "row 7");
  EXPECT_FALSE(json_string(value, "missing", "test"));
}

TEST(Json, is_written_as_the_library_writes_it) {
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  Json value = {{"bytes", bytes}, {"ascii", bytes.substr(0, 128)}, {"utf-8", "\u00e4\u20ac\U0001f600"}, {"broken", "a\xc3"}, {"\"key\"\n", Json::array({Json::array(), Json::object()})},
                {"numbers", {0, -1, INT64_MIN, UINT64_MAX, 0.1, -0.0, 1e300, 1.5, std::numeric_limits<double>::infinity()}}, {"rest", {nullptr, true, false, ""}}};
  for (int c = 0; c < 256; ++c) value["one"].push_back(std::string("a") + static_cast<char>(c));
  EXPECT_EQ(dump_json(value), value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

TEST(Json, a_writer_writes_the_bytes_of_a_dump) {
  const Json value = {{"a", Json::array({1, -2, 0.5, 3.0, -0.0, 1e300, 123456789.0, nullptr, true, "x\n\"\xff"})}, {"b", Json::object()}, {"c", {{"d", Json::array()}, {"e", ""}}}};
  std::string out = "before ";
  JsonWriter json(out);
  json.begin_object();
  json.member("a").begin_array();
  json.integer(1);
  json.integer(-2);
  for (const double number : {0.5, 3.0, -0.0, 1e300, 123456789.0}) json.number(number);
  json.null();
  json.boolean(true);
  json.text("x\n\"\xff");
  json.end_array();
  json.member("b").json("{}");
  json.member("c").begin_object();
  json.member("d").begin_array();
  json.end_array();
  json.member("e").text("");
  json.end_object();
  json.end_object();
  EXPECT_EQ(out, "before " + dump_json(value));
}

TEST(JsonWriter, escapes_as_the_library_does_wherever_it_stands) {
  for (std::size_t size = 0; size < 40; ++size)
    for (const char c : {'"', '\\', '\n', '\x01', '\x1f', ' ', '\x7f'})
      for (std::size_t at = 0; at < size; ++at) {
        std::string text(size, 'x'), out;
        text[at] = c;
        append_json_string(out, text);
        ASSERT_EQ(out, Json(text).dump()) << size << " " << at;
      }
}

TEST(Time, writes_and_reads_rfc_3339) {
  const auto time = *parse_rfc3339("1985-04-12T23:20:50.52Z");
  EXPECT_EQ(to_rfc3339(time), "1985-04-12T23:20:50.520Z");
  EXPECT_EQ(to_rfc3339(TimePoint{} - std::chrono::milliseconds(1)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(to_rfc3339(std::chrono::sys_days(std::chrono::year(12345) / 1 / 2)), "12345-01-02T00:00:00.000Z");
  for (const char* bad : {"1985-04-12T23:20:50", "1985-13-12T23:20:50Z", "1985-04-31T00:00:00Z", "1985-04-12 23:20:50Z", "Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(SafePath, refuses_whatever_could_leave_the_folder) {
  EXPECT_TRUE(is_safe_relative_path("a/b.txt"));
  for (std::string_view bad : {"", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\\b"}) EXPECT_FALSE(is_safe_relative_path(bad)) << bad;
  EXPECT_FALSE(is_safe_relative_path(std::string_view("a\0b", 3)));
}

TEST(File, write_replaces_atomically_and_leaves_no_temporary) {
  const auto folder = *TemporaryFolder::create();
  ASSERT_TRUE(write_file(folder.path() / "f", std::string_view("one")));
  ASSERT_TRUE(write_file(folder.path() / "f", std::string_view("two")));
  EXPECT_EQ(*read_text_file(folder.path() / "f"), "two");
  { auto dropped = AtomicFile::create(folder.path() / "g"); ASSERT_TRUE((*dropped)->write(view_of("lost"))); }
  EXPECT_EQ(*list_folder(folder.path()), std::vector<std::string>{"f"});
}

TEST(File, lock_is_held_by_one) {
  const auto folder = *TemporaryFolder::create();
  const auto first = FileLock::try_acquire(folder.path() / "lock");
  ASSERT_TRUE(first);
  EXPECT_EQ(FileLock::try_acquire(folder.path() / "lock").error().code, ErrorCode::unavailable);
}

TEST(File, list_files_refuses_links) {
  const auto folder = *TemporaryFolder::create();
  ASSERT_TRUE(make_folder(folder.path() / "a/b"));
  ASSERT_TRUE(write_file(folder.path() / "a/b/f", std::string_view("x")));
  EXPECT_EQ(*list_files(folder.path()), std::vector<std::string>{"a/b/f"});
  std::filesystem::create_symlink("/etc/passwd", folder.path() / "a/link");
  EXPECT_EQ(list_files(folder.path()).error().code, ErrorCode::invalid_argument);
}

TEST(Deadline, calls_once_it_has_passed_and_not_where_it_was_met) {
  std::promise<void> missed;
  bool called = false;
  {
    const Deadline passed(std::chrono::milliseconds(1), [&] { missed.set_value(); });  // a second call would throw
    const Deadline met(std::chrono::hours(1), [&] { called = true; });
    missed.get_future().wait();
  }
  EXPECT_FALSE(called);
}

TEST(Secret, compares_whole_values) {
  EXPECT_TRUE(Secret("token") == Secret("token"));
  EXPECT_FALSE(Secret("token") == Secret("tokem"));
  EXPECT_FALSE(Secret("token") == Secret("toke"));
}

TEST(Terminal, nothing_in_a_text_steers_it) {
  EXPECT_EQ(without_control_characters("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(without_control_characters("\x1b[2J\r\x7f"), "?[2J??");
  EXPECT_EQ(without_control_characters("\xc2\x9b" "2J \xc3\xa9 \xc2\xa9 \xc2"), "?2J \xc3\xa9 \xc2\xa9 \xc2");
}

}  // namespace
}  // namespace redoubt
