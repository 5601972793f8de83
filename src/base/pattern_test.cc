// SPDX-License-Identifier: Apache-2.0
#include "base/pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace redoubt {
namespace {

TEST(Patterns, star_stays_within_a_name_and_case_does_not_count) {
  for (const auto& [pattern, text] : std::vector<std::pair<const char*, const char*>>{{"*/*", "a/b"}, {"acme/*", "ACME/Tiny"}, {"a*c/d?f", "abbc/def"}, {"*", ""}, {"a*a*a", "aaaa"}})
    EXPECT_TRUE(fits_pattern(pattern, text)) << pattern << " " << text;
  for (const auto& [pattern, text] : std::vector<std::pair<const char*, const char*>>{{"*", "a/b"}, {"acme/*", "acme"}, {"acme/?", "acme/"}, {"a?b", "a/b"}, {"", "a"}, {"*b", "a/b"}})
    EXPECT_FALSE(fits_pattern(pattern, text)) << pattern << " " << text;
  EXPECT_FALSE(fits_pattern(std::string(2000, '*') + "b", std::string(50'000, 'a')));
}

}  // namespace
}  // namespace redoubt
