// SPDX-License-Identifier: Apache-2.0
//
// libtorch as the engine's folders include it, precompiled once. Its logging defines a CHECK of its own; ours stays.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/Logging.h>

#undef CHECK
#include "base/check.h"
