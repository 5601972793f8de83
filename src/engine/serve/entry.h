// SPDX-License-Identifier: Apache-2.0
//
// The engine's `serve`: behind a gateway, or alone in a container of a hosting service.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace redoubt::engine::serve {

// The model is in ROOT/model/base, ROOT/model/adapter. With REDOUBT_WORKER_FD it answers the gateway over that socket until it
// closes (docs/formats/worker-protocol.md). Without, it is a SageMaker hosting container: plain HTTP/1.1 on
// SAGEMAKER_BIND_TO_PORT, else 8080, GET /ping and POST /invocations; TLS and authentication are the platform's, which alone
// reaches the port. Ends in order at SIGTERM.
Status run_serve(const std::filesystem::path& root);

}  // namespace redoubt::engine::serve
