// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/schema.h"
#include "base/yaml.h"
#include "stages/image/recipe/build.h"
#include "stages/image/recipe/schemas.h"

namespace redoubt::stages::image::recipe {
namespace {

class DeclarationBuild {
 public:
  DeclarationBuild(const BuildInput& input, YamlDocument document, Json checked, Context context, TemporaryFolder files, Progress& progress)
      : input_(input), document_(std::move(document)), value_(std::move(checked)), context_(std::move(context)), files_(std::move(files)), progress_(progress), stage_(input.platform) {}

  Result<Recipe> run() {
    if (!input_.arguments.empty()) return fail(ErrorCode::invalid_argument, "a declaration takes no arguments", document_.file, "leave --build-arg out");
    if (!input_.target.empty()) return fail(ErrorCode::invalid_argument, "a declaration has no stages", document_.file, "leave --target out");
    const std::string from = value_["from"].get<std::string>();
    if (from != "scratch") TRY(at("/from", [&] { return start_from(from); }));
    TRY(at("/environment", [&] { return environment(); }));
    const std::string folder = value_["workdir"].get<std::string>();
    if (!folder.empty()) TRY(at("/workdir", [&] { return stage_.set_working_folder(folder, "workdir: " + folder); }));
    for (std::size_t i = 0; i < value_["files"].size(); ++i) {
      TRY(at(fmt::format("/files/{}", i), [&] { return file(value_["files"][i]); }));
    }
    TRY(at("/labels", [&] { return labels(); }));
    TRY(at("/expose", [&] { return ports(); }));
    TRY(commands());
    return Recipe{std::move(stage_), value_["name"].get<std::string>(), std::move(bases_), std::move(files_)};
  }

 private:
  // The place of what was refused, where the error does not say it.
  template <class Body>
  Status at(const std::string& pointer, const Body& body) const {
    Status done = body();
    if (done) return done;
    Error error = std::move(done.error());
    if (!error.where.empty()) error.message += " (" + error.where + ")";
    error.where = document_.locate(pointer);
    return fail(std::move(error));
  }

  Result<Base> find(const std::string& name) {
    auto base = TRY(input_.find_base(name, input_.platform));
    bases_[name] = base.image.manifest.digest;
    return base;
  }
  Status start_from(const std::string& name) {
    auto base = std::make_shared<const Base>(TRY(find(name)));
    return stage_.start_from(std::move(base));
  }

  Status environment() {
    for (const auto& [name, value] : value_["environment"].items()) {
      if (!value.is_string() || name.empty() || name.find_first_of("= \t") != name.npos) return fail(ErrorCode::invalid_argument, "not a name with a text: " + name.substr(0, 60), {}, "write the value in quotes");
      stage_.set_variable(name, value.get<std::string>());
    }
    return {};
  }
  Status labels() {
    for (const auto& [name, value] : value_["labels"].items()) {
      if (!value.is_string() || name.empty()) return fail(ErrorCode::invalid_argument, "not a name with a text: " + name.substr(0, 60), {}, "write the value in quotes");
      stage_.config()["Labels"][name] = value;
    }
    return {};
  }
  Status ports() {
    for (const auto& text : value_["expose"]) {
      for (const auto& port : TRY(parse_ports(text.get<std::string>()))) stage_.config()["ExposedPorts"][port] = Json::object();
    }
    return {};
  }

  Status file(const Json& entry) {
    CopyRequest request;
    request.destination = entry["to"].get<std::string>();
    request.owner = entry["owner"].get<std::string>();
    if (entry.contains("mode")) request.mode = TRY(parse_mode(entry["mode"].get<std::string>()));
    request.created_by = "files: " + request.destination;
    const std::string from = entry["from"].get<std::string>();
    const bool has_text = entry.contains("text"), has_copy = entry.contains("copy");
    if (has_text == has_copy || (has_text && !from.empty())) return fail(ErrorCode::invalid_argument, "a file has either 'copy' or 'text'");
    std::vector<FoundSource> found;
    if (has_text) {
      if (request.destination.ends_with('/')) return fail(ErrorCode::invalid_argument, "a text needs the name of a file", {}, "end 'to' in the file's name");
      oci::TreeNode node;
      node.contents = entry["text"].get<std::string>();
      node.size = node.contents.size();
      found.push_back({"", false, {{"", std::move(node)}}});
    } else {
      TRY(collect(entry["copy"], from, found));
    }
    return stage_.copy(found, request);
  }

  Status collect(const Json& sources, const std::string& from, std::vector<FoundSource>& into) {
    std::optional<Stage> other;
    if (!from.empty()) {
      other.emplace(input_.platform);
      auto base = std::make_shared<const Base>(TRY(find(from)));
      TRY(other->start_from(std::move(base)));
    }
    for (const auto& source : sources) {
      std::vector<FoundSource> found;
      if (other) {
        const auto folder = files_.path() / std::to_string(folders_++);
        TRY(make_folder(folder));
        found = TRY(other->find(source.get<std::string>(), folder, progress_));
      } else {
        found = TRY(context_.find(source.get<std::string>()));
      }
      for (auto& one : found) into.push_back(std::move(one));
    }
    return {};
  }

  Status commands() {
    if (const std::string user = value_["user"].get<std::string>(); !user.empty()) {
      TRY(at("/user", [&] { return check_user(user); }));
      stage_.config()["User"] = user;
    }
    if (value_.contains("entrypoint")) {
      stage_.config()["Entrypoint"] = value_["entrypoint"];
      stage_.config().erase("Cmd");
    }
    if (value_.contains("command")) stage_.config()["Cmd"] = value_["command"];
    const std::string signal = value_["stop_signal"].get<std::string>();
    if (signal.empty()) return {};
    TRY(at("/stop_signal", [&] { return check_signal(signal); }));
    stage_.config()["StopSignal"] = signal;
    return {};
  }

  const BuildInput& input_;
  YamlDocument document_;
  Json value_;
  Context context_;
  TemporaryFolder files_;
  Progress& progress_;
  Stage stage_;
  std::map<std::string, Digest> bases_;
  std::size_t folders_ = 0;
};

}  // namespace

Result<Recipe> read_declaration(const BuildInput& input, Progress& progress) {
  auto document = TRY(load_yaml(input.recipe));
  Json checked = TRY(check_against_schema(document, Json::parse(kImageSchema)));
  auto context = TRY(Context::open(input.folder, input.recipe));
  auto files = TRY(TemporaryFolder::create());
  return DeclarationBuild(input, std::move(document), std::move(checked), std::move(context), std::move(files), progress).run();
}

}  // namespace redoubt::stages::image::recipe
