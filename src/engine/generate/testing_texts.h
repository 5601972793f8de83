// SPDX-License-Identifier: Apache-2.0
//
// For tests only: a reader of texts whose results can be told in advance.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/generate/text_model.h"

namespace redoubt::engine::generate::testing_model {

// A state is (token, 1); a token is as unexpected as it is great.
class Counting final : public TextModel {
 public:
  std::int64_t context_length() const override { return 40; }
  std::int64_t vocabulary() const override { return 100; }
  std::int64_t width() const override { return 2; }
  std::size_t adapters() const override { return 1; }
  Status read(std::span<Text* const> texts, std::size_t tokens_max) override {
    std::size_t tokens = 0, held = 0;
    for (auto* text : texts) {
      if (failing) return fail(ErrorCode::internal, "broken");
      const auto count = std::min(tokens_max, text->tokens.size() - text->read);
      tokens += count;
      text->sum.resize(2);
      for (std::size_t i = text->read; i < text->read + count; ++i) {
        text->sum[0] += text->tokens[i];
        text->sum[1] += 1;
        if (text->wants_losses && i > 0) text->losses.push_back(static_cast<float>(text->tokens[i]));
      }
      text->read += count;
      EXPECT_TRUE(texts.size() == 1 || text->read == text->tokens.size());
      EXPECT_EQ(text->adapter, texts.front()->adapter);
      held += text->read < text->tokens.size();
    }
    passes.push_back({texts.size(), tokens});
    EXPECT_LE(held, 1u);
    return {};
  }
  struct Pass {
    std::size_t texts, tokens;
    bool operator==(const Pass&) const = default;
  };
  std::vector<Pass> passes;
  bool failing = false;
};

}  // namespace redoubt::engine::generate::testing_model
