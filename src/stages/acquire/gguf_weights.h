// SPDX-License-Identifier: Apache-2.0
//
// model.safetensors out of a GGUF file's tensors.
#pragma once

#include <functional>

#include "base/progress.h"
#include "base/stream.h"
#include "stages/acquire/gguf_config.h"

namespace redoubt::stages::acquire {

// The file must hold exactly the tensors that its metadata call for, each of the shape that follows from them. unavailable when
// `stopped` answers true on the way.
Status write_gguf_weights(const weights::GgufHeader& header, const GgufShape& shape, const RandomAccess& file, Sink& out,
                          Progress& progress, const std::function<bool()>& stopped = {});

}  // namespace redoubt::stages::acquire
