// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/interrupts.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};
// A signal's handler reaches nothing but what is static.
volatile std::sig_atomic_t interrupted = 0;

void note(int) { interrupted = 1; }

}  // namespace

Interrupts::Interrupts() {
  interrupted = 0;
  for (int i = 0; i < 2; ++i) {
    struct sigaction action = {};
    action.sa_handler = note;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(kSignals[i], nullptr, &before_[i]);
    // Who ignores it (nohup) or has a way of its own keeps that.
    if (before_[i].sa_handler == SIG_DFL) sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupts::~Interrupts() {
  for (int i = 0; i < 2; ++i) {
    if (before_[i].sa_handler == SIG_DFL) sigaction(kSignals[i], &before_[i], nullptr);
  }
}

bool Interrupts::came() {
  sigset_t pending;
  sigpending(&pending);
  return interrupted != 0 || sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
}

}  // namespace redoubt::provider::aws
