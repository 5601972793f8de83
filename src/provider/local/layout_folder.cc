// SPDX-License-Identifier: Apache-2.0
#include "provider/local/layout_folder.h"

#include "base/file.h"
#include "base/json.h"
#include "crypto/checked_source.h"
#include "provider/local/image_layout.h"

namespace redoubt::provider::local {
namespace fs = std::filesystem;

Result<std::unique_ptr<LayoutFolder>> LayoutFolder::open(fs::path folder) {
  const auto text = read_text_file(folder / "oci-layout", 64 << 10);
  if (!text && text.error().code == ErrorCode::not_found) return fail(ErrorCode::not_found, "not an OCI image layout: it has no file oci-layout", folder.string());
  if (!text) return fail(text.error());
  const Json layout = TRY(parse_json(*text, (folder / "oci-layout").string()));
  if (json_or(layout, "imageLayoutVersion", "") != std::string("1.0.0")) return fail(ErrorCode::unsupported, "an image layout of another version than 1.0.0", folder.string());
  return std::unique_ptr<LayoutFolder>(new LayoutFolder(std::move(folder)));
}

Result<Digest> LayoutFolder::put_blob(Source&) { return fail(ErrorCode::unsupported, "this layout is only read", folder_.string()); }
Status LayoutFolder::tag(std::string_view, const ImageDescriptor&) { return fail(ErrorCode::unsupported, "this layout is only read", folder_.string()); }

Result<std::unique_ptr<Source>> LayoutFolder::open_blob(const Digest& digest) {
  auto file = TRY(FileReader::open_regular(folder_ / "blobs/sha256" / digest.hex()));
  return std::unique_ptr<Source>(std::make_unique<crypto::CheckedSource>(std::move(file), digest));
}

Result<ImageDescriptor> LayoutFolder::resolve(std::string_view name_or_digest) {
  const auto images = TRY(list());
  const auto digest = Digest::parse(name_or_digest);
  std::string there;
  for (const auto& [name, descriptor] : images) {
    const bool only = name_or_digest.empty() && images.size() == 1;
    if (only || (digest ? descriptor.digest == *digest : !name.empty() && name == name_or_digest)) return descriptor;
    there += (there.empty() ? "" : ", ") + (name.empty() ? descriptor.digest.tagged() : name);
  }
  if (name_or_digest.empty() && !images.empty()) return fail(ErrorCode::invalid_argument, "the layout has several images", folder_.string(), "name one of " + there.substr(0, 400));
  return fail(ErrorCode::not_found, "no such image in the layout: " + std::string(name_or_digest.substr(0, 200)), folder_.string(), there.empty() ? "it is empty" : "it has " + there.substr(0, 400));
}

Result<std::vector<std::pair<std::string, ImageDescriptor>>> LayoutFolder::list() {
  const auto file = folder_ / "index.json";
  return detail::parse_index(TRY(read_text_file(file, detail::kDocumentBytesMax)), file.string());
}

}  // namespace redoubt::provider::local
