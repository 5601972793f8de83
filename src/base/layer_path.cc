// SPDX-License-Identifier: Apache-2.0
#include "base/layer_path.h"

#include <algorithm>

#include "base/bytes.h"

namespace redoubt {

Result<std::string> clean_layer_path(const char* path) {
  if (path == nullptr) return fail(ErrorCode::invalid_argument, "an entry without a readable name", "image layer");
  std::string_view rest = path;
  std::string clean;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part == ".." || part.size() > 255) return fail(ErrorCode::invalid_argument, "a path that leaves the image", to_hex(view_of(std::string_view(path).substr(0, 200))));
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  if (clean.size() > kLayerPathBytesMax) return fail(ErrorCode::invalid_argument, "a path that is too long", "image layer");
  return clean;
}

}  // namespace redoubt
