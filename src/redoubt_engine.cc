// SPDX-License-Identifier: Apache-2.0
//
// redoubt-engine: the only program that computes with a model. It holds no key and has no network.
#include "engine/entry.h"

int main(int argc, char** argv) { return redoubt::engine::run(argc, argv); }
