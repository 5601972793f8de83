// SPDX-License-Identifier: Apache-2.0
//
// The embedded ImageStore: an OCI image layout (image-spec v1.1) in a folder, as skopeo, umoci and others read it. Blobs are plain:
// an image holds no secret. Tags are immutable. Safe for several processes.
#pragma once

#include <filesystem>
#include <memory>

#include "base/problem.h"
#include "provider/image_store.h"

namespace redoubt::provider::local {

class LocalImageStore final : public ImageStore {
 public:
  // Makes an empty layout where there is none, and removes what writers left that died. Errors of the file system alone: what is
  // wrong with the layout is told by those who read it, as tampered.
  static Result<std::unique_ptr<LocalImageStore>> open(std::filesystem::path folder);

  Result<Digest> put_blob(Source& contents) override;
  Result<std::unique_ptr<Source>> open_blob(const Digest& digest) override;
  Status tag(std::string_view name, const ImageDescriptor& manifest) override;
  Result<ImageDescriptor> resolve(std::string_view name_or_digest) override;
  Result<std::vector<std::pair<std::string, ImageDescriptor>>> list() override;

  // Reads every file of the folder: a blob that is not what its name says, one that a tagged image needs and that is missing or
  // of another size, an index that does not parse, a file that belongs to no layout. Kinds: "blob", "index", "stray".
  Problems verify_all();

 private:
  using Index = std::vector<std::pair<std::string, ImageDescriptor>>;
  explicit LocalImageStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path blob_path(const Digest& digest) const;
  Status remove_leftovers() const;
  Result<Index> read_index() const;  // tampered
  std::filesystem::path folder_;
};

}  // namespace redoubt::provider::local
