// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "base/file.h"
#include "stages/image/oci/passing.h"
#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

constexpr std::uint64_t kUsersBytesMax = 1 << 20;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, slash);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string joined(const std::string& folder, const std::string& name) { return folder.empty() ? name : name.empty() ? folder : folder + "/" + name; }

std::optional<unsigned> id_number(std::string_view text) {
  unsigned value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// The fields of the line "NAME:...:..." of a passwd or group file.
std::vector<std::string> line_of(std::string_view file, std::string_view name) {
  while (!file.empty()) {
    const auto end = std::min(file.find('\n'), file.size());
    const auto line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (!line.starts_with(std::string(name) + ":")) continue;
    std::vector<std::string> parts;
    for (std::size_t from = 0; from <= line.size();) {
      const auto colon = std::min(line.find(':', from), line.size());
      parts.emplace_back(line.substr(from, colon - from));
      from = colon + 1;
    }
    return parts;
  }
  return {};
}

std::string date_of(std::uint64_t seconds) {
  const auto text = to_rfc3339(TimePoint{std::chrono::seconds{static_cast<std::int64_t>(seconds)}});
  return text.substr(0, text.find('.')) + "Z";
}

// A copied node as the tar has it.
oci::TarEntry to_tar(const std::string& path, const oci::TreeNode& node) {
  oci::TarEntry entry;
  entry.path = node.kind == oci::EntryKind::folder ? path + "/" : path;
  entry.mode = node.mode;
  entry.file = node.file;
  entry.contents = node.contents;
  entry.uid = node.uid;
  entry.gid = node.gid;
  entry.link = node.link;
  return entry;
}

// A layer of Docker's type holds the same bytes as OCI's.
std::string oci_type(const std::string& type) {
  if (type == "application/vnd.docker.image.rootfs.diff.tar") return oci::kLayerType;
  if (type == "application/vnd.docker.image.rootfs.diff.tar.gzip") return std::string(oci::kLayerType) + "+gzip";
  if (type == "application/vnd.docker.image.rootfs.diff.tar.zstd") return std::string(oci::kLayerType) + "+zstd";
  return type;
}

}  // namespace

Status Stage::start_from(std::shared_ptr<const Base> base) {
  const Json& document = base->image.config;
  const std::string os = json_or(document, "os", "linux"), architecture = json_or(document, "architecture", "");
  if (os != platform_.os || architecture != platform_.architecture) {
    return fail(ErrorCode::invalid_argument, fmt::format("the image to build on is for {}/{} and not for {}", os, architecture, platform_.text()), base->image.manifest.digest.tagged(), "choose another, or --platform");
  }
  config_ = json_or(document, "config", Json::object());
  tree_ = base->image.tree;
  for (const auto& step : json_or(document, "history", Json::array())) {
    if (!step.is_object()) continue;
    Json kept = {{"created_by", json_or(step, "created_by", "")}};
    if (json_or(step, "empty_layer", false)) kept["empty_layer"] = true;
    history_.push_back(kept);
  }
  const auto made = std::count_if(history_.begin(), history_.end(), [](const Json& step) { return !step.contains("empty_layer"); });
  // A history that does not fit its layers says nothing; readers refuse one.
  if (static_cast<std::size_t>(made) != base->image.layers.size()) {
    history_ = Json::array();
    for (const auto& layer : base->image.layers) history_.push_back({{"created_by", "layer " + layer.digest.tagged()}});
  }
  base_ = std::move(base);
  return {};
}

std::string Stage::working_folder() const {
  const std::string folder = json_or(config_, "WorkingDir", "/");
  return folder.empty() ? "/" : folder;
}

std::optional<std::string> Stage::variable(const std::string& name) const {
  const Json list = json_or(config_, "Env", Json::array());
  for (const auto& entry : list) {
    if (entry.is_string() && entry.get_ref<const std::string&>().starts_with(name + "=")) return entry.get<std::string>().substr(name.size() + 1);
  }
  return std::nullopt;
}

void Stage::set_variable(const std::string& name, const std::string& value) {
  if (!config_.contains("Env") || !config_["Env"].is_array()) config_["Env"] = Json::array();
  for (auto& entry : config_["Env"]) {
    if (!entry.is_string() || !entry.get_ref<const std::string&>().starts_with(name + "=")) continue;
    entry = name + "=" + value;
    return;
  }
  config_["Env"].push_back(name + "=" + value);
}

void Stage::note(const std::string& created_by) { history_.push_back({{"created_by", created_by}, {"empty_layer", true}}); }

void Stage::add(PendingLayer layer) {
  if (layer.entries.empty()) return note(layer.created_by);
  history_.push_back({{"created_by", layer.created_by}});
  layers_.push_back(std::move(layer));
}

Status Stage::make_folders(const std::string& path, const Owner& owner, PendingLayer& layer) {
  for (auto slash = path.find('/');; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (folder.empty()) return {};
    const auto* there = tree_.find(folder);
    if (there != nullptr && there->kind != oci::EntryKind::folder) return fail(ErrorCode::invalid_argument, "a file of the image is no folder that something can lie in", "/" + folder);
    if (there == nullptr) {
      oci::TreeNode node{oci::EntryKind::folder, 0755, owner.uid, owner.gid};
      layer.entries[folder] = to_tar(folder, node);
      tree_.put(folder, std::move(node));
    }
    if (slash == path.npos) return {};
  }
}

Status Stage::place(const std::string& path, oci::TreeNode node, const Owner& parents, PendingLayer& layer) {
  const std::string name = name_of(path);
  // Who unpacks the layer would take it as an order to remove something.
  if (name.starts_with(".wh.")) return fail(ErrorCode::invalid_argument, "a name that layers keep for what they remove", "/" + path, "give the file another name");
  if (node.kind == oci::EntryKind::special) return fail(ErrorCode::invalid_argument, "a socket, a device or a pipe can't be copied into an image", "/" + path);
  const std::string folder = TRY(tree_.resolve(parent_of(path)));
  TRY(make_folders(folder, parents, layer));
  std::string target = joined(folder, name);
  if (node.kind == oci::EntryKind::folder) {
    target = TRY(tree_.resolve(target));
    const auto* there = tree_.find(target);
    if (there != nullptr && there->kind == oci::EntryKind::folder) return {};  // keeps its mode and its owner
    TRY(make_folders(parent_of(target), parents, layer));
    if (there != nullptr) return fail(ErrorCode::invalid_argument, "a file of the image is where a folder should go", "/" + target);
  } else if (const auto* there = tree_.find(target); there != nullptr && there->kind == oci::EntryKind::folder) {
    return fail(ErrorCode::invalid_argument, "a folder of the image is where a file should go", "/" + target, "end the destination in '/' to copy into the folder");
  }
  layer.entries[target] = to_tar(target, node);
  node.contents_layer = node.layer = -1;
  tree_.put(target, std::move(node));
  return {};
}

Status Stage::copy_source(const FoundSource& source, const std::string& destination, bool into_folder, const CopyRequest& request, const Owner& owner, PendingLayer& layer) {
  if (source.is_folder) {
    const std::string folder = TRY(tree_.resolve(destination));
    TRY(make_folders(folder, owner, layer));
  }
  for (const auto& entry : source.entries) {
    oci::TreeNode node = entry.node;
    node.uid = owner.uid;
    node.gid = owner.gid;
    if (request.mode && node.kind != oci::EntryKind::symbolic_link) node.mode = *request.mode;
    const std::string name = source.is_folder ? entry.path : into_folder ? source.name : "";
    TRY(place(joined(destination, name), std::move(node), owner, layer));
  }
  return {};
}

Status Stage::copy(const std::vector<FoundSource>& sources, const CopyRequest& request) {
  const std::string& given = request.destination;
  if (given.empty()) return fail(ErrorCode::invalid_argument, "a destination is missing");
  bool into_folder = given.ends_with('/') || given == "." || given.ends_with("/.") || given == "..";
  if (sources.size() > 1 && !into_folder) return fail(ErrorCode::invalid_argument, "several sources need a destination that ends in '/'", given, "write " + given + "/");
  const auto destination = inside(given.starts_with('/') ? given : working_folder() + "/" + given);
  if (!destination) return fail(ErrorCode::gate_refused, "a destination outside of the image", given);
  const auto* there = tree_.find(TRY(tree_.resolve(*destination)));
  into_folder = into_folder || (there != nullptr && there->kind == oci::EntryKind::folder);
  const Owner owner = request.owner.empty() ? Owner{} : TRY(owner_of(request.owner));
  PendingLayer layer{{}, request.created_by};
  for (const auto& source : sources) TRY(copy_source(source, *destination, into_folder, request, owner, layer));
  add(std::move(layer));
  return {};
}

Status Stage::set_working_folder(const std::string& path, const std::string& created_by) {
  const auto folder = inside(path.starts_with('/') ? path : working_folder() + "/" + path);
  if (path.empty() || !folder) return fail(ErrorCode::invalid_argument, "not a folder of the image", path);
  config_["WorkingDir"] = "/" + *folder;
  PendingLayer layer{{}, created_by};
  const std::string target = TRY(tree_.resolve(*folder));
  const auto* there = tree_.find(target);
  if (there == nullptr) {
    const std::string user = json_or(config_, "User", "");
    const Owner owner = user.empty() ? Owner{} : TRY(owner_of(user));
    TRY(make_folders(target, owner, layer));
  } else if (there->kind != oci::EntryKind::folder) {
    return fail(ErrorCode::invalid_argument, "the working directory is no folder in the image", "/" + target);
  }
  add(std::move(layer));
  return {};
}

Result<std::string> Stage::read(const std::string& path, std::uint64_t bytes_max) const {
  const std::string real = TRY(tree_.resolve(path));
  const auto* node = tree_.find(real);
  if (node == nullptr || node->kind != oci::EntryKind::file) return fail(ErrorCode::not_found, "no such file in the image", "/" + path);
  if (node->contents_layer >= 0) return oci::read_file(*base_->images, base_->image, real, bytes_max);
  if (node->file.empty()) return node->contents;
  return read_text_file(node->file, bytes_max);
}

Result<Owner> Stage::owner_of(const std::string& text) const {
  const auto colon = text.find(':');
  const std::string user = text.substr(0, colon), group = colon == text.npos ? "" : text.substr(colon + 1);
  const auto unknown = [&](const char* kind, const std::string& name, const char* file) {
    return fail(ErrorCode::not_found, fmt::format("the image has no {} '{}'", kind, name.substr(0, 80)), file, "write the number, or copy the file into the image first");
  };
  if (text.empty()) return fail(ErrorCode::invalid_argument, "not USER[:GROUP]", text.substr(0, 80));
  Owner owner;  // root's, where a group alone is named
  if (const auto uid = id_number(user)) {
    owner = {*uid, *uid};
  } else if (!user.empty()) {
    const auto users = read("etc/passwd", kUsersBytesMax);
    const auto line = users ? line_of(*users, user) : std::vector<std::string>();
    if (line.size() < 4 || !id_number(line[2]) || !id_number(line[3])) return unknown("user", user, "/etc/passwd");
    owner = {*id_number(line[2]), *id_number(line[3])};
  }
  if (group.empty()) return owner;
  if (const auto gid = id_number(group)) {
    owner.gid = *gid;
    return owner;
  }
  const auto groups = read("etc/group", kUsersBytesMax);
  const auto line = groups ? line_of(*groups, group) : std::vector<std::string>();
  if (line.size() < 3 || !id_number(line[2])) return unknown("group", group, "/etc/group");
  owner.gid = *id_number(line[2]);
  return owner;
}

Json Stage::history(std::uint64_t seconds) const {
  Json out = history_;
  for (auto& step : out) step["created"] = date_of(seconds);
  return out;
}

Result<std::vector<oci::WrittenLayer>> Stage::base_layers(provider::ImageStore& images, Progress& progress) const {
  std::vector<oci::WrittenLayer> layers;
  if (base_ == nullptr) return layers;
  if (base_->images.get() != &images) TRY(oci::copy_blobs(*base_->images, images, base_->image, progress));
  for (std::size_t i = 0; i < base_->image.layers.size(); ++i) {
    auto blob = base_->image.layers[i];
    blob.media_type = oci_type(blob.media_type);
    layers.push_back({std::move(blob), base_->image.diff_ids[i]});
  }
  return layers;
}

Result<BuiltImage> Stage::write(provider::ImageStore& images, const WriteOptions& options, Progress& progress) const {
  BuiltImage built;
  built.layers = TRY(base_layers(images, progress));
  for (const auto& pending : layers_) {
    std::vector<oci::TarEntry> entries;
    for (const auto& [path, entry] : pending.entries) entries.push_back(entry);
    built.layers.push_back(TRY(oci::write_layer(images, std::move(entries), {options.compression, oci::Parents::as_given, options.seconds}, "image: layer " + std::to_string(built.layers.size() + 1), progress)));
  }
  if (built.layers.size() > oci::kLayersMax) return fail(ErrorCode::limit_exceeded, "an image of more than 128 layers", {}, "copy more in one instruction");
  built.config = {{"architecture", platform_.architecture}, {"os", platform_.os}, {"created", date_of(options.seconds)}, {"config", config_}, {"history", history(options.seconds)}};
  if (!platform_.variant.empty()) built.config["variant"] = platform_.variant;
  Json annotations = options.annotations;
  if (base_ != nullptr) annotations["org.opencontainers.image.base.digest"] = base_->image.manifest.digest.tagged();
  built.manifest = TRY(oci::write_manifest(images, built.config, built.layers, annotations));
  return built;
}

}  // namespace redoubt::stages::image::recipe
