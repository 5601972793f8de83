// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/lint.h"

#include <algorithm>

#include "base/file.h"
#include "base/schema.h"
#include "base/yaml.h"
#include "stages/image/recipe/schemas.h"

namespace redoubt::stages::image::recipe {
namespace {

std::optional<Severity> parse_severity(std::string_view text) {
  for (auto severity : {Severity::style, Severity::info, Severity::warning, Severity::error}) {
    if (text == to_string(severity)) return severity;
  }
  return std::nullopt;
}

// A word that YAML writes without quotes is quoted where the Dockerfile would take it apart.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '$') out += '\\';
    out += c;
  }
  return out + "\"";
}

// The Dockerfile that says what a declaration says, each instruction at the line of its field.
Dockerfile as_dockerfile(const YamlDocument& document, const Json& value) {
  Dockerfile out;
  out.file = document.file;
  const auto line_of = [&](const std::string& pointer) {
    const auto found = document.lines.find(pointer);
    return found == document.lines.end() ? 1 : found->second;
  };
  const auto add = [&](const char* keyword, std::string text, const std::string& pointer) -> Instruction& {
    Instruction made;
    made.keyword = keyword;
    made.line = line_of(pointer);
    made.text = std::move(text);
    out.instructions.push_back(std::move(made));
    return out.instructions.back();
  };
  add("FROM", value["from"].get<std::string>(), "/from");
  for (const auto& [name, text] : value["environment"].items()) {
    if (text.is_string()) add("ENV", name + "=" + quoted(text.get<std::string>()), "/environment/" + name);
  }
  if (const auto folder = value["workdir"].get<std::string>(); !folder.empty()) add("WORKDIR", folder, "/workdir");
  for (std::size_t i = 0; i < value["files"].size(); ++i) {
    const auto& file = value["files"][i];
    if (!file.contains("copy")) continue;
    Json words = file["copy"];
    words.push_back(file["to"]);
    auto& copy = add("COPY", dump_json(words), "/files/" + std::to_string(i));
    if (file.contains("mode")) copy.flags.push_back({"chmod", file["mode"].get<std::string>(), true});
  }
  if (const auto user = value["user"].get<std::string>(); !user.empty()) add("USER", user, "/user");
  if (value.contains("entrypoint")) add("ENTRYPOINT", dump_json(value["entrypoint"]), "/entrypoint");
  if (value.contains("command")) add("CMD", dump_json(value["command"]), "/command");
  return out;
}

}  // namespace

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::style: return "style";
    case Severity::info: return "info";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
  }
  return "error";
}

const std::vector<LintRule>& lint_rules() {
  using enum Severity;
  static const std::vector<LintRule> kRules = {
      {"DL1000", error, "not a Dockerfile", "put the line right", ""},
      {"DL3000", error, "WORKDIR is not absolute", "write the folder from '/' on", ""},
      {"DL3002", warning, "the last USER is root", "end with a user of its own, by number", "4.1"},
      {"DL3006", warning, "the image has no tag", "name the tag, or better the digest", "4.2"},
      {"DL3007", warning, "the tag latest moves", "name a version, or better the digest", "4.2"},
      {"DL3011", error, "a port outside of 0 to 65535", "put the number right", ""},
      {"DL3012", error, "several HEALTHCHECK", "leave one: the last counts", ""},
      {"DL3020", error, "ADD for files and folders", "write COPY", "4.9"},
      {"DL3021", error, "several sources, and a destination that is no folder", "end the destination in '/'", ""},
      {"DL3022", warning, "--from names no earlier stage", "name a stage, or an image with its tag", ""},
      {"DL3023", error, "--from names the stage itself", "name an earlier stage", ""},
      {"DL3024", error, "two stages have one name", "give each its own", ""},
      {"DL3025", warning, "a command that is not in the JSON form", "write it as [\"program\", \"argument\"]: no shell is needed, and signals arrive", ""},
      {"DL3029", warning, "FROM with --platform", "choose the platform when you build", ""},
      {"DL3043", error, "ONBUILD of what can't be deferred", "leave it out", ""},
      {"DL3044", error, "a variable is used in the ENV that sets it", "set it in an ENV before", ""},
      {"DL3045", warning, "a relative destination without a WORKDIR", "write the folder from '/' on", ""},
      {"DL3057", info, "no HEALTHCHECK", "let the orchestrator ask: OCI images carry none", "4.6"},
      {"DL3061", error, "an instruction before FROM", "start with FROM, or with ARG", ""},
      {"DL3066", info, "the user is no number", "write the number: Kubernetes' runAsNonRoot can't look names up", ""},
      {"DL4000", error, "MAINTAINER is gone", "write LABEL org.opencontainers.image.authors=...", ""},
      {"DL4003", warning, "several CMD", "leave one: the last counts", ""},
      {"DL4004", error, "several ENTRYPOINT", "leave one: the last counts", ""},
      {"RD1001", error, "a secret in a variable or a label", "give it to the container when it starts: everybody who has the image reads it", "4.10"},
      {"RD1002", error, "a secret in a file of a layer", "take it out and renew it: a later layer does not remove it", "4.10"},
      {"RD1003", error, "a set-user-id or set-group-id file", "take the bit off, or leave the file out", "4.8"},
      {"RD1004", error, "everybody may write it", "take the write right off: mode 0644, and 0755 for folders", ""},
      {"RD1005", warning, "no USER: the program runs as root", "add a USER, by number", "4.1"},
      {"RD1007", error, "a file that holds credentials or a history", "leave it out, by name or in .dockerignore", "4.10"},
      {"RD1008", error, "ADD fetches from the network", "fetch it before, check its digest, COPY it", "4.9"},
      {"RD1009", info, "a VOLUME hides what is below it", "mount the folder where the image is run", ""},
      {"RD1010", info, "the program may write to its own image", "own the files as root, so that a read-only root changes nothing", ""},
      {"RD1011", warning, "the image runs a shell to start", "write ENTRYPOINT in the JSON form", ""},
      {"RD1012", error, "a device file in a layer", "leave it out: the runtime makes the devices", ""},
      {"RD1013", warning, "an argument for a secret", "arguments stay in the history; mount the secret where it is needed", "4.10"},
  };
  return kRules;
}

Result<LintPolicy> LintPolicy::load(const std::filesystem::path& file) {
  const auto document = TRY(load_yaml(file));
  const Json value = TRY(check_against_schema(document, Json::parse(kImageLintSchema)));
  LintPolicy policy;
  policy.refused_from = *parse_severity(value["fail"].get<std::string>());
  for (const auto& [rule, word] : value["rules"].items()) {
    const auto& known = lint_rules();
    std::vector<std::string> names;
    for (const auto& one : known) names.emplace_back(one.id);
    if (std::find(names.begin(), names.end(), rule) == names.end()) {
      const auto nearest = nearest_word(rule, names);
      return fail(ErrorCode::invalid_argument, "no such rule: " + rule.substr(0, 40), document.locate("/rules/" + rule), nearest.empty() ? "redoubt image lint --rules lists them" : "did you mean " + nearest + "?");
    }
    const auto severity = word.is_string() ? parse_severity(word.get<std::string>()) : std::nullopt;
    // YAML 1.1 readers take a bare "off" for false; so does a person.
    const bool off = word == "off" || word == false;
    if (!severity && !off) return fail(ErrorCode::invalid_argument, "a rule is error, warning, info, style or off", document.locate("/rules/" + rule));
    policy.rules[rule] = severity;
  }
  return policy;
}

std::vector<LintFinding> LintPolicy::apply(std::vector<LintFinding> findings) const {
  std::vector<LintFinding> kept;
  for (auto& finding : findings) {
    if (const auto rule = rules.find(finding.rule); rule != rules.end()) {
      if (!rule->second) continue;
      finding.severity = *rule->second;
    }
    kept.push_back(std::move(finding));
  }
  std::sort(kept.begin(), kept.end(), [](const LintFinding& a, const LintFinding& b) { return a.key() < b.key(); });
  return kept;
}

bool LintPolicy::refuses(const std::vector<LintFinding>& findings) const {
  return std::any_of(findings.begin(), findings.end(), [&](const LintFinding& finding) { return finding.severity >= refused_from; });
}

Result<std::vector<LintFinding>> lint_recipe(const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  if (ending == ".yaml" || ending == ".yml") {
    const auto document = TRY(load_yaml(file));
    return lint_dockerfile(as_dockerfile(document, TRY(check_against_schema(document, Json::parse(kImageSchema)))));
  }
  const auto dockerfile = parse_dockerfile(TRY(read_text_file(file, 2 << 20)), file.string());
  if (dockerfile) return lint_dockerfile(*dockerfile);
  const auto& where = dockerfile.error().where;
  const auto colon = where.rfind(':');
  const int line = colon == where.npos ? 1 : std::max(1, std::atoi(where.c_str() + colon + 1));
  return std::vector<LintFinding>{{"DL1000", Severity::error, file.string(), line, dockerfile.error().message, dockerfile.error().hint}};
}

Json to_json(const std::vector<LintFinding>& findings) {
  Json out = Json::array();
  for (const auto& finding : findings) {
    out.push_back({{"rule", finding.rule}, {"severity", to_string(finding.severity)}, {"path", finding.path}, {"line", finding.line}, {"message", finding.message}, {"cure", finding.cure}});
  }
  return out;
}

}  // namespace redoubt::stages::image::recipe
