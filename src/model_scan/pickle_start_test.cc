// SPDX-License-Identifier: Apache-2.0
#include "model_scan/pickle_start.h"

#include <gtest/gtest.h>

#include <string>

namespace redoubt::model_scan {
namespace {

using namespace std::string_literals;

bool is_pickle(const std::string& text) { return starts_as_pickle(view_of(text)); }

// As Python 3.11's pickle.dumps wrote them.
TEST(PickleStart, every_protocol_is_known) {
  // class Runs: __reduce__ = lambda self: (print, ("ran",))
  for (const std::string& text : {"c__builtin__\nprint\np0\n(Vran\np1\ntp2\nRp3\n."s,
                                  "c__builtin__\nprint\nq\x00(X\x03\x00\x00\x00ranq\x01tq\x02Rq\x03."s,
                                  "\x80\x02"
                                  "c__builtin__\nprint\nq\x00X\x03\x00\x00\x00ranq\x01\x85q\x02Rq\x03."s,
                                  "\x80\x04\x95 \x00\x00\x00\x00\x00\x00\x00\x8c\x08"
                                  "builtins\x94\x8c\x05print\x94\x93\x94\x8c\x03ran\x94\x85\x94R\x94."s,
                                  // {"a": 1} and [1, 2]
                                  "(dp0\nVa\np1\nI1\ns."s,
                                  "}q\x00X\x01\x00\x00\x00"
                                  "aq\x01K\x01s."s,
                                  "\x80\x05\x95\n\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01"
                                  "a\x94K\x01s."s,
                                  "(lp0\nI1\naI2\na."s, "\x80\x05N."s}) {
    EXPECT_TRUE(is_pickle(text)) << testing::PrintToString(text);
  }
}

TEST(PickleStart, calls_without_the_usual_beginning_are_known) {
  EXPECT_TRUE(is_pickle("cos\nsystem\n(S'true'\ntR."));
  EXPECT_TRUE(is_pickle("(S'true'\nios\nsystem\n."));
  EXPECT_TRUE(is_pickle("(cos\nsystem\nS'true'\no."));
  EXPECT_TRUE(is_pickle("Vjunk\n0cos\nsystem\n(Vtrue\ntR and then something else"));
  EXPECT_TRUE(is_pickle("I1\n0(I2\n1cos\nsystem\np0\n0g0\n(Vtrue\ntR."));
  EXPECT_TRUE(is_pickle("]0U\x03xyz0cos\nsystem\n\x8c\x04true\x85R."));
}

TEST(PickleStart, texts_and_weights_are_none) {
  for (const std::string& text : {""s,
                                  "."s,
                                  "N."s,
                                  "(hello) world.\n"s,
                                  "contact us\nby mail\n"s,
                                  "cat\ndog\nelephant\n"s,
                                  "Very\nVery\nReadable.\n"s,
                                  "Python is great\n.\n"s,
                                  "# A model\n"s,
                                  "{\"a\": 1}"s,
                                  "[1, 2]"s,
                                  "(in\nshort\n"s.substr(0, 4),
                                  "Information\n"s,
                                  "MIT License\n"s,
                                  "In short\nIt works.\n"s,
                                  "Llama 3\n"s,
                                  "\x80\x04\x00\x00\x00\x00\x00\x00{"s,
                                  "\x80\x06N."s,
                                  "GGUF\x03\x00\x00\x00"s,
                                  "(((((((("s,
                                  "the (t)uple"s}) {
    EXPECT_FALSE(is_pickle(text)) << testing::PrintToString(text);
  }
}

TEST(PickleStart, broken_arguments_end_the_walk) {
  for (const std::string& text : {"X\xff\xff\xff\xff"s, "\x8e\xff\xff\xff\xff\xff\xff\xff\xff"s, "U"s, "cos\nsystem"s,
                                  "J\x01"s, "g7\n"s, "h\x01"s, "1"s, "0"s, "R"s, "b"s}) {
    EXPECT_FALSE(is_pickle(text)) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace redoubt::model_scan
