// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/object_text.h"

namespace redoubt::provider::aws {

Result<std::string> get_text(ObjectStore& objects, const std::string& key) {
  const auto object = TRY(objects.open(key));
  RandomAccessSource source(*object);
  return to_text(TRY(read_all(source, kObjectTextBytesMax)));
}

Status put_text(ObjectStore& objects, const std::string& key, const std::string& text) {
  MemorySource source(view_of(text));
  return objects.put(key, source, PutMode::replace);
}

Status put_text_if_new(ObjectStore& objects, const std::string& key, const std::string& text) {
  const auto there = get_text(objects, key);
  if (there && *there == text) return {};
  if (!there && there.error().code != ErrorCode::not_found && there.error().code != ErrorCode::limit_exceeded) return fail(there.error());
  return put_text(objects, key, text);
}

Status remove_if_there(ObjectStore& objects, const std::string& key) {
  auto removed = objects.remove(key);
  return removed || removed.error().code == ErrorCode::not_found ? Status() : removed;
}

}  // namespace redoubt::provider::aws
