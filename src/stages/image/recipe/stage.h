// SPDX-License-Identifier: Apache-2.0
//
// One stage of a build: an image in the making. Files are placed where the running image would find them (links of the image are
// followed within it), each change is a layer that holds what changed and nothing else, and nothing depends on the machine.
#pragma once

#include <memory>
#include <optional>

#include "base/progress.h"
#include "stages/image/oci/image.h"
#include "stages/image/oci/writer.h"
#include "stages/image/recipe/context.h"

namespace redoubt::stages::image::recipe {

// An image that a stage stands on, and the store that has it.
struct Base {
  std::shared_ptr<provider::ImageStore> images;
  oci::Image image;
};

struct Owner {
  unsigned uid = 0, gid = 0;
};

struct CopyRequest {
  std::string destination;           // absolute, or below the working directory
  std::string owner = {};            // "USER[:GROUP]", numbers or names of the image; empty: root
  std::optional<unsigned> mode = {};
  std::string created_by = {};       // for the history
};

struct WriteOptions {
  oci::LayerCompression compression = oci::LayerCompression::none;
  std::uint64_t seconds = 0;      // of everything in the image, and of the image
  Json annotations = Json::object();
};

struct BuiltImage {
  provider::ImageDescriptor manifest;
  std::vector<oci::WrittenLayer> layers;
  Json config;
};

class Stage {
 public:
  explicit Stage(oci::Platform platform) : platform_(std::move(platform)) {}
  // On an image that was read. invalid_argument where it is for another platform.
  Status start_from(std::shared_ptr<const Base> base);

  // Members of the configuration's "config": Env, User, Entrypoint...
  Json& config() { return config_; }
  const Json& config() const { return config_; }
  const oci::ImageTree& tree() const { return tree_; }
  std::string working_folder() const;  // "/" where none is set
  std::optional<std::string> variable(const std::string& name) const;  // of Env
  void set_variable(const std::string& name, const std::string& value);

  // What an instruction did to the configuration alone.
  void note(const std::string& created_by);
  Status copy(const std::vector<FoundSource>& sources, const CopyRequest& request);
  // Sets the working directory and makes the folder where there is none.
  Status set_working_folder(const std::string& path, const std::string& created_by);

  // What a later stage copies from this one. Files that lie in layers are taken out into `folder`.
  Result<std::vector<FoundSource>> find(const std::string& source, const std::filesystem::path& folder, Progress& progress) const;
  // "USER[:GROUP]" as numbers, by the image's /etc/passwd and /etc/group; not_found for a name that they lack.
  Result<Owner> owner_of(const std::string& text) const;
  // A file of at most `bytes_max` bytes, from wherever it lies; not_found.
  Result<std::string> read(const std::string& path, std::uint64_t bytes_max) const;

  Result<BuiltImage> write(provider::ImageStore& images, const WriteOptions& options, Progress& progress) const;

 private:
  struct PendingLayer {
    std::map<std::string, oci::TarEntry> entries;
    std::string created_by;
  };
  Status place(const std::string& path, oci::TreeNode node, const Owner& parents, PendingLayer& layer);
  Status make_folders(const std::string& path, const Owner& owner, PendingLayer& layer);
  Status copy_source(const FoundSource& source, const std::string& destination, bool into_folder, const CopyRequest& request, const Owner& owner, PendingLayer& layer);
  void add(PendingLayer layer);
  Json history(std::uint64_t seconds) const;
  Result<std::vector<oci::WrittenLayer>> base_layers(provider::ImageStore& images, Progress& progress) const;

  oci::Platform platform_;
  std::shared_ptr<const Base> base_;  // null: nothing below
  Json config_ = Json::object();
  oci::ImageTree tree_;
  std::vector<PendingLayer> layers_;
  Json history_ = Json::array();  // {"created_by", "empty_layer"}
};

}  // namespace redoubt::stages::image::recipe
