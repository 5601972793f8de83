// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>

#include "base/file.h"
#include "base/schema.h"
#include "stages/image/recipe/build.h"
#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

constexpr std::size_t kStagesMax = 64;
// Docker's "scratch" has it, and runtimes give it where an image sets none: "ENV PATH=/x:$PATH" would end in the working directory else.
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// What is refused, and what to do instead.
struct Refusal {
  const char* keyword;
  const char* cure;
};
constexpr Refusal kRefusals[] = {
    {"RUN", "nothing is run while an image is built: do it before, and COPY what comes out"},
    {"ADD", "COPY takes files; fetch a URL and unpack an archive before, where what came can be checked"},
    {"VOLUME", "mount the folder where the image is run; a volume named by an image hides what is below it"},
    {"HEALTHCHECK", "an OCI image has none; let the orchestrator ask (a probe on /ping)"},
    {"ONBUILD", "write the instructions in the recipe that they are meant for"},
    {"SHELL", "write CMD and ENTRYPOINT in the JSON form, with the shell's path where one is wanted"},
    {"MAINTAINER", "write LABEL org.opencontainers.image.authors=..."},
};
const std::vector<std::string>& known_keywords() {
  static const std::vector<std::string> kKnown = {"FROM", "ARG", "COPY", "USER", "ENV", "ENTRYPOINT", "CMD", "LABEL", "WORKDIR", "EXPOSE", "STOPSIGNAL"};
  return kKnown;
}

// Docker gives these without their being declared; they are no part of the recipe.
bool is_proxy(const std::string& name) {
  static const std::set<std::string> kProxies = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"};
  return kProxies.contains(name);
}

class DockerfileBuild {
 public:
  DockerfileBuild(const BuildInput& input, Dockerfile dockerfile, Context context, TemporaryFolder files, Progress& progress)
      : input_(input), dockerfile_(std::move(dockerfile)), context_(std::move(context)), files_(std::move(files)), progress_(progress) {}

  Result<Recipe> run() {
    for (const auto& instruction : dockerfile_.instructions) {
      if (instruction.keyword == "FROM" && is_done()) break;
      auto taken = take(instruction);
      if (!taken) return fail(located(std::move(taken.error()), instruction));
    }
    if (stages_.empty()) return fail(ErrorCode::invalid_argument, "no FROM: a recipe starts with the image that it builds on", dockerfile_.file, "start with FROM scratch");
    if (!input_.target.empty() && stages_.back().name != input_.target) return fail(ErrorCode::not_found, "no stage of that name: " + input_.target, dockerfile_.file, "name one that a FROM ... AS gives");
    for (const auto& [name, value] : input_.arguments) {
      if (!used_arguments_.contains(name) && !is_proxy(name)) return fail(ErrorCode::invalid_argument, "no ARG asks for the argument " + name, dockerfile_.file, "declare it with ARG " + name + ", or leave it out");
    }
    return Recipe{std::move(stages_.back().stage), {}, std::move(bases_), std::move(files_)};
  }

 private:
  struct NamedStage {
    std::string name;
    Stage stage;
    std::map<std::string, std::string> arguments = {};
    bool has_command = false;
  };

  bool is_done() const { return !input_.target.empty() && !stages_.empty() && stages_.back().name == input_.target; }

  Error located(Error error, const Instruction& instruction) const {
    const std::string place = dockerfile_.locate(instruction.line);
    error.message = instruction.keyword + ": " + error.message + (error.where.empty() || error.where.starts_with(dockerfile_.file) ? "" : " (" + error.where + ")");
    error.where = place;
    return error;
  }

  Status take(const Instruction& instruction) {
    if (!instruction.heredocs.empty() && instruction.keyword != "RUN") return fail(ErrorCode::unsupported, "here-documents are not taken", {}, "put the text into a file and COPY it");
    for (const auto& [keyword, cure] : kRefusals) {
      if (instruction.keyword == keyword) return fail(ErrorCode::unsupported, "is not taken", {}, cure);
    }
    if (instruction.keyword == "FROM") return from(instruction);
    if (stages_.empty()) return instruction.keyword == "ARG" ? global_argument(instruction) : fail(ErrorCode::invalid_argument, "stands before the first FROM", {}, "start with FROM scratch");
    using Take = Status (DockerfileBuild::*)(const Instruction&);
    static const std::map<std::string, Take> kTakes = {
        {"ARG", &DockerfileBuild::argument}, {"COPY", &DockerfileBuild::copy}, {"USER", &DockerfileBuild::user}, {"ENV", &DockerfileBuild::environment},
        {"ENTRYPOINT", &DockerfileBuild::entrypoint}, {"CMD", &DockerfileBuild::command}, {"LABEL", &DockerfileBuild::label}, {"WORKDIR", &DockerfileBuild::working_folder},
        {"EXPOSE", &DockerfileBuild::expose}, {"STOPSIGNAL", &DockerfileBuild::stop_signal}};
    const auto found = kTakes.find(instruction.keyword);
    if (found != kTakes.end()) return (this->*found->second)(instruction);
    const std::string nearest = nearest_word(instruction.keyword, known_keywords());
    return fail(ErrorCode::invalid_argument, "is no instruction", {}, nearest.empty() ? "these are: FROM, ARG, COPY, USER, ENV, ENTRYPOINT, CMD, LABEL, WORKDIR, EXPOSE, STOPSIGNAL" : "did you mean " + nearest + "?");
  }

  NamedStage& here() { return stages_.back(); }
  std::string created_by(const Instruction& instruction) const {
    std::string text = instruction.keyword;
    for (const auto& flag : instruction.flags) text += " --" + flag.name + (flag.has_value ? "=" + flag.value : "");
    return text + " " + instruction.text;
  }

  std::optional<std::string> platform_variable(const std::string& name) const {
    const auto& platform = input_.platform;
    if (name == "TARGETPLATFORM" || name == "BUILDPLATFORM") return platform.text();
    if (name == "TARGETOS" || name == "BUILDOS") return platform.os;
    if (name == "TARGETARCH" || name == "BUILDARCH") return platform.architecture;
    if (name == "TARGETVARIANT" || name == "BUILDVARIANT") return platform.variant;
    return std::nullopt;
  }

  Words global_words() const {
    return Words(dockerfile_.escape, [this](const std::string& name) -> std::optional<std::string> {
      if (const auto found = global_arguments_.find(name); found != global_arguments_.end()) return found->second;
      return platform_variable(name);
    });
  }
  // The environment goes before an argument of the same name.
  Words words() const {
    return Words(dockerfile_.escape, [this](const std::string& name) -> std::optional<std::string> {
      if (auto value = stages_.back().stage.variable(name)) return value;
      const auto& arguments = stages_.back().arguments;
      if (const auto found = arguments.find(name); found != arguments.end()) return found->second;
      return name == "PATH" ? std::optional<std::string>(kDefaultPath) : std::nullopt;
    });
  }

  Status no_flags(const Instruction& instruction) const {
    if (instruction.flags.empty()) return {};
    return fail(ErrorCode::unsupported, "the flag --" + instruction.flags[0].name + " is not taken", {}, "leave it out");
  }

  // NAME or NAME=DEFAULT, several in a line. What --build-arg says goes before the default.
  Status read_arguments(const Instruction& instruction, const Words& expander, std::map<std::string, std::string>& into, bool inherits) {
    const auto entries = expander.split(instruction.text);
    if (entries.empty()) return fail(ErrorCode::invalid_argument, "a name is missing");
    for (const auto& entry : entries) {
      const auto equals = entry.find('=');
      const std::string name = entry.substr(0, equals);
      const bool good = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; }) && std::isdigit(static_cast<unsigned char>(name[0])) == 0;
      if (!good) return fail(ErrorCode::invalid_argument, "not a name: " + name.substr(0, 60));
      used_arguments_.insert(name);
      if (const auto given = input_.arguments.find(name); given != input_.arguments.end()) into[name] = given->second;
      else if (equals != entry.npos) into[name] = TRY(expander.expand(std::string_view(entry).substr(equals + 1)));
      else if (const auto global = global_arguments_.find(name); inherits && global != global_arguments_.end()) into[name] = global->second;
      else if (const auto platform = platform_variable(name)) into[name] = *platform;
    }
    return {};
  }
  Status global_argument(const Instruction& instruction) { return read_arguments(instruction, global_words(), global_arguments_, false); }
  Status argument(const Instruction& instruction) {
    TRY(read_arguments(instruction, words(), here().arguments, true));
    here().stage.note(created_by(instruction));
    return {};
  }

  Status check_platform(const Instruction& instruction, const Words& expander) const {
    for (const auto& flag : instruction.flags) {
      if (flag.name != "platform") return fail(ErrorCode::unsupported, "the flag --" + flag.name + " is not taken", {}, "leave it out");
      const auto asked = TRY(oci::Platform::parse(TRY(expander.expand(flag.value))));
      if (asked.text() != input_.platform.text()) return fail(ErrorCode::unsupported, "a stage for " + asked.text() + " in a build for " + input_.platform.text(), {}, "build with --platform " + asked.text());
    }
    return {};
  }

  // FROM [--platform=P] IMAGE [AS NAME]
  Status from(const Instruction& instruction) {
    const auto expander = global_words();
    TRY(check_platform(instruction, expander));
    const auto parts = fields(instruction.text);
    const bool named = parts.size() == 3 && (parts[1] == "AS" || parts[1] == "as" || parts[1] == "As" || parts[1] == "aS");
    if (parts.size() != 1 && !named) return fail(ErrorCode::invalid_argument, "not IMAGE [AS NAME]");
    const std::string base = TRY(expander.expand(parts[0]));
    if (base.empty()) return fail(ErrorCode::invalid_argument, "the image's name is empty: " + parts[0], {}, "give the argument a default, or name it with --build-arg");
    std::string name = named ? parts[2] : "";
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (named && (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") != name.npos || std::isdigit(static_cast<unsigned char>(name[0])) != 0 || name == "scratch")) return fail(ErrorCode::invalid_argument, "not a stage's name: " + name.substr(0, 60));
    if (named && stage_of(name) != nullptr) return fail(ErrorCode::invalid_argument, "two stages have the name " + name, {}, "give each its own");
    if (stages_.size() == kStagesMax) return fail(ErrorCode::limit_exceeded, "more than 64 stages");
    NamedStage next{name, Stage(input_.platform)};
    if (const auto* earlier = stage_of(base)) next.stage = earlier->stage;
    else if (base != "scratch") TRY(start_from(base, next.stage));
    stages_.push_back(std::move(next));
    return {};
  }

  // What an image has for whoever builds on it would be a part of this recipe that nobody sees.
  Status start_from(const std::string& name, Stage& stage) {
    const auto base = TRY(find_base(name));
    const Json triggers = json_or(json_or(base->image.config, "config", Json::object()), "OnBuild", Json::array());
    if (!triggers.empty()) return fail(ErrorCode::unsupported, fmt::format("the image {} has instructions for those who build on it (ONBUILD), and they are not taken", name), {}, "write them into this recipe, and build on an image without them");
    return stage.start_from(base);
  }

  const NamedStage* stage_of(std::string name) const {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto found = std::find_if(stages_.begin(), stages_.end(), [&](const NamedStage& stage) { return !stage.name.empty() && stage.name == name; });
    return found == stages_.end() ? nullptr : &*found;
  }

  Result<std::shared_ptr<const Base>> find_base(const std::string& name) {
    if (const auto known = found_.find(name); known != found_.end()) return known->second;
    auto base = std::make_shared<const Base>(TRY(input_.find_base(name, input_.platform)));
    bases_[name] = base->image.manifest.digest;
    found_[name] = base;
    return base;
  }

  Result<std::vector<FoundSource>> find_in_stage(const std::string& from, const std::vector<std::string>& sources) {
    std::size_t number = stages_.size();
    if (!from.empty() && from.find_first_not_of("0123456789") == from.npos && from.size() < 4) number = std::stoul(from);
    const NamedStage* stage = stage_of(from);
    if (stage == nullptr && number + 1 < stages_.size()) stage = &stages_[number];
    if (stage == &stages_.back()) return fail(ErrorCode::invalid_argument, "a stage can't copy from itself");
    std::optional<Stage> other;
    if (stage == nullptr) {
      if (number + 1 == stages_.size() || number != stages_.size()) return fail(ErrorCode::invalid_argument, "there is no earlier stage " + from);
      other.emplace(input_.platform);
      TRY(other->start_from(TRY(find_base(from))));
    }
    const Stage& from_stage = stage != nullptr ? stage->stage : *other;
    std::vector<FoundSource> found;
    for (const auto& source : sources) {
      const auto folder = files_.path() / std::to_string(folders_++);
      TRY(make_folder(folder));
      for (auto& one : TRY(from_stage.find(source, folder, progress_))) found.push_back(std::move(one));
    }
    return found;
  }

  Status copy(const Instruction& instruction) {
    const auto expander = words();
    CopyRequest request;
    std::string from;
    for (const auto& flag : instruction.flags) {
      if (flag.name != "link" && flag.name != "from" && flag.name != "chown" && flag.name != "chmod") return fail(ErrorCode::unsupported, "the flag --" + flag.name + " is not taken", {}, "leave it out");
      const std::string value = TRY(expander.expand(flag.value));
      if (flag.name == "link" && (!flag.has_value || value == "true" || value == "false")) continue;  // every layer stands by itself here
      if (!flag.has_value || value.empty()) return fail(ErrorCode::invalid_argument, "the flag --" + flag.name + " has no value", {}, "write --" + flag.name + "=VALUE");
      if (flag.name == "from") from = value;
      else if (flag.name == "chown") request.owner = value;
      else request.mode = TRY(parse_mode(value));
    }
    std::vector<std::string> parts;
    for (const auto& part : instruction.json().value_or(fields(instruction.text))) parts.push_back(TRY(expander.expand(part)));
    if (parts.size() < 2) return fail(ErrorCode::invalid_argument, "a source and a destination are needed");
    request.destination = parts.back();
    request.created_by = created_by(instruction);
    parts.pop_back();
    std::vector<FoundSource> found;
    if (from.empty()) {
      for (const auto& source : parts) {
        for (auto& one : TRY(context_.find(source))) found.push_back(std::move(one));
      }
    } else {
      found = TRY(find_in_stage(from, parts));
    }
    return here().stage.copy(found, request);
  }

  Result<std::string> single(const Instruction& instruction) const {
    TRY(no_flags(instruction));
    const std::string value = TRY(words().expand(instruction.text));
    if (value.empty()) return fail(ErrorCode::invalid_argument, "a value is missing");
    return value;
  }

  Status user(const Instruction& instruction) {
    const std::string value = TRY(single(instruction));
    TRY(check_user(value));
    here().stage.config()["User"] = value;
    here().stage.note(created_by(instruction));
    return {};
  }

  Status environment(const Instruction& instruction) {
    for (const auto& [name, value] : TRY(words().pairs(instruction.text))) {
      if (name.empty() || name.find_first_of("= \t") != name.npos) return fail(ErrorCode::invalid_argument, "not a name: " + name.substr(0, 60));
      here().stage.set_variable(name, value);
    }
    here().stage.note(created_by(instruction));
    return {};
  }

  Status label(const Instruction& instruction) {
    for (const auto& [name, value] : TRY(words().pairs(instruction.text))) here().stage.config()["Labels"][name] = value;
    here().stage.note(created_by(instruction));
    return {};
  }

  // The JSON form as it stands; the other one is a line for the image's shell, which its base may name.
  Json to_command(const Instruction& instruction) {
    if (const auto words = instruction.json()) return *words;
    Json command = json_or(here().stage.config(), "Shell", Json::array());
    if (command.empty()) command = Json::array({"/bin/sh", "-c"});
    command.push_back(instruction.text);
    return command;
  }
  Status entrypoint(const Instruction& instruction) {
    if (instruction.text.empty()) return fail(ErrorCode::invalid_argument, "a command is missing");
    here().stage.config()["Entrypoint"] = to_command(instruction);
    // The command of the image below was meant for the entry point of that image.
    if (!here().has_command) here().stage.config().erase("Cmd");
    here().stage.note(created_by(instruction));
    return {};
  }
  Status command(const Instruction& instruction) {
    if (instruction.text.empty()) return fail(ErrorCode::invalid_argument, "a command is missing");
    here().stage.config()["Cmd"] = to_command(instruction);
    here().has_command = true;
    here().stage.note(created_by(instruction));
    return {};
  }

  Status working_folder(const Instruction& instruction) { return here().stage.set_working_folder(TRY(single(instruction)), created_by(instruction)); }

  Status expose(const Instruction& instruction) {
    const auto ports = TRY(words().expand_and_split(instruction.text));
    if (ports.empty()) return fail(ErrorCode::invalid_argument, "a port is missing");
    for (const auto& text : ports) {
      for (const auto& port : TRY(parse_ports(text))) here().stage.config()["ExposedPorts"][port] = Json::object();
    }
    here().stage.note(created_by(instruction));
    return {};
  }

  Status stop_signal(const Instruction& instruction) {
    const std::string value = TRY(single(instruction));
    TRY(check_signal(value));
    here().stage.config()["StopSignal"] = value;
    here().stage.note(created_by(instruction));
    return {};
  }

  const BuildInput& input_;
  Dockerfile dockerfile_;
  Context context_;
  TemporaryFolder files_;
  Progress& progress_;
  std::map<std::string, std::string> global_arguments_;
  std::set<std::string> used_arguments_;
  std::deque<NamedStage> stages_;
  std::map<std::string, std::shared_ptr<const Base>> found_;
  std::map<std::string, Digest> bases_;
  std::size_t folders_ = 0;
};

}  // namespace

Result<Recipe> read_dockerfile(const BuildInput& input, Progress& progress) {
  const std::string text = TRY(read_text_file(input.recipe, 2 << 20));
  auto dockerfile = TRY(parse_dockerfile(text, input.recipe.string()));
  auto context = TRY(Context::open(input.folder, input.recipe));
  auto files = TRY(TemporaryFolder::create());
  return DockerfileBuild(input, std::move(dockerfile), std::move(context), std::move(files), progress).run();
}

}  // namespace redoubt::stages::image::recipe
