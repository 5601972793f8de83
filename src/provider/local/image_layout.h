// SPDX-License-Identifier: Apache-2.0
//
// The documents of an OCI image layout (image-spec v1.1) as LocalImageStore writes them, and the check of a whole folder.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/problem.h"
#include "provider/image_store.h"

namespace redoubt::provider::local::detail {

constexpr std::uint64_t kDocumentBytesMax = 4 << 20;  // of an index or a manifest

using ImageIndex = std::vector<std::pair<std::string, ImageDescriptor>>;  // tag, manifest

Json to_json(const ImageIndex& index);
inline Json empty_index() { return to_json({}); }
// index.json; an entry without a tag has the empty one. invalid_argument or limit_exceeded name what is wrong with it.
Result<ImageIndex> parse_index(std::string_view text, std::string_view where);
// What a manifest or an index names: the configuration and the layers, or further manifests. The same errors.
Result<std::vector<ImageDescriptor>> parse_references(const Json& manifest, std::string_view where);

// What LocalImageStore::verify_all says. `layout` is the text of the file oci-layout.
Problems verify_layout(const std::filesystem::path& folder, std::string_view layout);

}  // namespace redoubt::provider::local::detail
