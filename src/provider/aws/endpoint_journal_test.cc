// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/endpoint_journal.h"

#include <gtest/gtest.h>

#include "provider/aws/object_text.h"
#include "provider/testing/fake_stores.h"

namespace redoubt::provider::aws {
namespace {

TEST(EndpointJournal, keeps_an_environment_s_entries_apart_from_another_s) {
  testing::FakeObjectStore models;
  EndpointJournal dev(models, "dev"), production(models, "production");
  const EndpointEntry entry{"redoubt-dev-c1", "redoubt-dev-m1", "dev/r1/", "w1", "assistant", "1.0.0", "sha256:1", ""};
  ASSERT_TRUE(dev.put(entry));
  EXPECT_EQ(dev.find("redoubt-dev-c1").value()->version, "1.0.0");
  EXPECT_EQ(dev.all().value().size(), 1u);
  EXPECT_FALSE(dev.find("redoubt-dev-c2").value());
  EXPECT_TRUE(production.all().value().empty());
  ASSERT_TRUE(dev.remove("redoubt-dev-c1"));
  ASSERT_TRUE(dev.remove("redoubt-dev-c1"));
  EXPECT_TRUE(models.list("").value().empty());
}

TEST(EndpointJournal, an_entry_that_is_none_is_named) {
  testing::FakeObjectStore models;
  EndpointJournal dev(models, "dev");
  for (const char* text : {"", "[]", R"({"config":"c1"})", R"({"config":1,"model":"m","files":"f","workspace":"w","name":"n","version":"v","deployment":"d","before":""})"}) {
    ASSERT_TRUE(put_text(models, "made/dev/c1.json", text));
    const auto found = dev.find("c1");
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, ErrorCode::invalid_argument) << text;
    EXPECT_EQ(found.error().where, "made/dev/c1.json") << text;
    EXPECT_FALSE(dev.all()) << text;
  }
}

}  // namespace
}  // namespace redoubt::provider::aws
