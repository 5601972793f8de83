// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C and the polite end while something of ours runs elsewhere: it has to be told before we go.
#pragma once

#include <csignal>

namespace redoubt::provider::aws {

// While one lives, the first SIGINT or SIGTERM is only noted, and the second one acts as ever. One at a time in a process.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  static bool came();

 private:
  struct sigaction before_[2] = {};
};

}  // namespace redoubt::provider::aws
