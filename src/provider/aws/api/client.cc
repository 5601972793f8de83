// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

bool is_service_error(const Error& error, std::string_view service_code) {
  return error.message.starts_with(service_code) && error.message.substr(service_code.size(), 2) == ": ";
}

}  // namespace redoubt::provider::aws
