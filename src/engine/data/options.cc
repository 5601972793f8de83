// SPDX-License-Identifier: Apache-2.0
#include "engine/data/options.h"

namespace redoubt::engine::data {

const std::vector<std::string>& data_option_names() {
  static const std::vector<std::string> names = {"max_length", "loss_on", "on_too_long"};
  return names;
}

Result<DataOptions> parse_data_options(const job::Hyperparameters& values) {
  DataOptions options;
  options.max_length = TRY(values.integer("max_length", 0, 0, 1 << 24));
  const auto loss_on = TRY(values.choice("loss_on", "answer", {"answer", "answers", "all", "marked"}));
  options.loss_on = loss_on == "answer"    ? LossOn::answer
                    : loss_on == "answers" ? LossOn::answers
                    : loss_on == "all"     ? LossOn::all
                                           : LossOn::marked;
  const auto too_long = TRY(values.choice("on_too_long", "truncate", {"truncate", "drop", "refuse", "windows"}));
  options.on_too_long = too_long == "truncate" ? OnTooLong::truncate
                        : too_long == "drop"   ? OnTooLong::drop
                        : too_long == "refuse" ? OnTooLong::refuse
                                               : OnTooLong::windows;
  return options;
}

}  // namespace redoubt::engine::data
