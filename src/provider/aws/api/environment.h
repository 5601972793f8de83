// SPDX-License-Identifier: Apache-2.0
//
// What a client reads of the process it runs in, injected so that tests can say it.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace redoubt::provider::aws {

struct Environment {
  // A variable that is set and not empty; AWS's tools take an empty one for none.
  std::function<std::optional<std::string>(const std::string& name)> variable;

  // The process's own.
  static Environment of_process();

  std::string text(const std::string& name) const { return variable(name).value_or(""); }
  bool is_true(const std::string& name) const;
  // A path of the user's: "~" is the home folder.
  std::filesystem::path path(const std::string& text) const;
};

}  // namespace redoubt::provider::aws
