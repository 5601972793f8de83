// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace redoubt::attest {

inline tl::unexpected<Error> tampered(std::string why, std::string_view where) { return fail(ErrorCode::tampered, std::move(why), std::string(where)); }

}  // namespace redoubt::attest
