// SPDX-License-Identifier: Apache-2.0
//
// Whose rights a command needs where AWS is behind the interfaces. The template has a role for each but the last, and the block
// `aws.roles` of a file of providers names them, so that no step can do what another one does.
#pragma once

#include <string_view>

namespace redoubt::cli {

enum class Duty {
  audit,         // reads everything, changes nothing
  operate,       // the workspace itself: its making, identities, keys
  secrets,
  acquire,       // models and data
  image,
  train,
  evaluate,
  registration,
  review,
  deploy,
  monitor,
  serve,         // an embedded endpoint's own process: objects, audit trail, and alarms
};

constexpr std::string_view to_string(Duty duty) {
  constexpr std::string_view kNames[] = {"audit", "operate", "secrets", "acquire", "image", "train", "evaluate", "register", "review", "deploy", "monitor", "serve"};
  return kNames[static_cast<std::size_t>(duty)];
}

}  // namespace redoubt::cli
