// SPDX-License-Identifier: Apache-2.0
//
// The tokens that are put around a text, as tokenizer.json's "post_processor" says: <s> before it, [SEP] behind it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/tokenizer/model.h"

namespace redoubt::engine::tokenizer {

class PostProcessor {
 public:
  // Null is none. Ids must be below `vocabulary_size`. An unknown type is unsupported by its name.
  static Result<PostProcessor> parse(const Json& description, std::int32_t vocabulary_size, const std::string& where);

  // Puts them around the ids of a text.
  void run(Ids& ids) const;

 private:
  // What one step writes: ids, and the text wherever kText stands.
  using Row = Ids;
  Status add(const Json& step, const std::string& where, int depth);
  Status add_template(const Json& step, const std::string& where);
  Status add_pair(const Json& step, const std::string& where);

  std::int32_t vocabulary_size_ = 0;
  std::vector<Row> rows_;
};

}  // namespace redoubt::engine::tokenizer
