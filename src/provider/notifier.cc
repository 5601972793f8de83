// SPDX-License-Identifier: Apache-2.0
#include "provider/notifier.h"

namespace redoubt::provider {

Status check_notification(const std::string& subject, const Json& body) {
  if (subject.empty() || subject.find_first_of("\r\n") != subject.npos) return fail(ErrorCode::invalid_argument, "a notification's subject is one line", "notification");
  if (!body.is_object()) return fail(ErrorCode::invalid_argument, "a notification's body is a JSON object", "notification");
  if (subject.size() + dump_json(body).size() > kNotificationBytesMax) return fail(ErrorCode::limit_exceeded, "the notification is too long", "notification");
  return {};
}

}  // namespace redoubt::provider
