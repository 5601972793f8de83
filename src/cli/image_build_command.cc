// SPDX-License-Identifier: Apache-2.0
#include "cli/image_build_command.h"

#include <fmt/format.h>

#include <charconv>

#include "base/file.h"
#include "provider/local/image_store.h"
#include "stages/image/recipe/lint.h"

namespace redoubt::cli {
namespace fs = std::filesystem;
namespace recipe = stages::image::recipe;
namespace oci = stages::image::oci;
namespace {

constexpr std::uint64_t kLastSecond = 253'402'300'799;  // of the year 9999
constexpr std::size_t kFindingsTold = 20;

// https://reproducible-builds.org/specs/source-date-epoch/
Result<std::uint64_t> source_date() {
  const char* text = std::getenv("SOURCE_DATE_EPOCH");
  if (text == nullptr || *text == '\0') return std::uint64_t{0};
  const std::string_view digits = text;
  std::uint64_t seconds = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() || seconds > kLastSecond) return fail(ErrorCode::invalid_argument, "not a number of seconds: " + std::string(digits.substr(0, 40)), "$SOURCE_DATE_EPOCH");
  return seconds;
}

Result<fs::path> find_recipe(const ImageBuildOptions& options) {
  if (!options.recipe.empty()) return fs::path(options.recipe);
  for (const char* name : {"Dockerfile", "Containerfile", "image.yaml"}) {
    if (is_plain_file(fs::path(options.folder) / name)) return fs::path(options.folder) / name;
  }
  return fail(ErrorCode::not_found, "no Dockerfile and no image.yaml in the folder", options.folder, "name the recipe with --file");
}

Result<recipe::BuildInput> build_input(const ImageBuildOptions& options, const ImageFinder& finder, Progress& progress) {
  recipe::BuildInput input;
  input.recipe = TRY(find_recipe(options));
  input.folder = options.folder.empty() ? input.recipe.parent_path() : fs::path(options.folder);
  if (input.folder.empty()) input.folder = ".";
  input.target = options.target;
  input.platform = TRY(oci::Platform::parse(options.platform));
  input.seconds = TRY(source_date());
  for (const auto& argument : options.arguments) {
    const auto equals = argument.find('=');
    if (equals == argument.npos || equals == 0) return fail(ErrorCode::invalid_argument, "not NAME=VALUE: " + argument.substr(0, 60), "--build-arg");
    input.arguments[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  input.find_base = [&finder, &progress](const std::string& name, const oci::Platform& platform) -> Result<recipe::Base> {
    auto named = TRY(finder.find(name));
    auto image = TRY(oci::read_image(*named.images, named.image, platform, progress));
    return recipe::Base{std::move(named.images), std::move(image)};
  };
  return input;
}

// "NAME:TAG" as it was asked for; what is missing of it comes from the folder's name and the image's digest, never "latest".
std::string tag_for(const ImageBuildOptions& options, const recipe::BuildInput& input, const std::string& declared, const Digest& image) {
  std::string tag = options.tag.empty() ? declared : options.tag;
  if (tag.empty()) {
    std::error_code error;
    for (const char c : fs::canonical(input.folder, error).filename().string()) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
      tag += plain ? static_cast<char>(std::tolower(static_cast<unsigned char>(c))) : '-';
    }
    if (tag.empty()) tag = "image";
  }
  const auto slash = tag.rfind('/');
  return tag.find(':', slash == tag.npos ? 0 : slash) == tag.npos ? tag + ":" + image.hex().substr(0, 12) : tag;
}

std::string line_of(const recipe::LintFinding& finding) {
  return fmt::format("{}{} {} {}: {}", finding.path, finding.line > 0 ? ":" + std::to_string(finding.line) : "", to_string(finding.severity), finding.rule, finding.message);
}

// Tells what was found; gate_refused where the policy stops for it.
Status judge(const std::vector<recipe::LintFinding>& findings, const recipe::LintPolicy& policy, const Output& output) {
  const recipe::LintFinding* worst = nullptr;
  std::size_t told = 0, refused = 0;
  for (const auto& finding : findings) {
    const bool stops = finding.severity >= policy.refused_from;
    if (stops && worst == nullptr) worst = &finding;
    refused += stops ? 1 : 0;
    if ((stops || finding.severity >= recipe::Severity::warning) && told++ < kFindingsTold) output.say(line_of(finding));
  }
  if (worst == nullptr) return {};
  return fail(ErrorCode::gate_refused, fmt::format("the image breaks {} rule{}; the first: {} {}", refused, refused == 1 ? "" : "s", worst->rule, worst->message),
              worst->line > 0 ? fmt::format("{}:{}", worst->path, worst->line) : worst->path, worst->cure);
}

struct Made {
  recipe::BuiltImage image;
  std::string tag;
  std::vector<recipe::LintFinding> findings;
  std::map<std::string, Digest> bases;
};

Result<Made> make(Invocation& invocation, const ImageBuildOptions& options, const ImageFinder& finder, provider::ImageStore& images, const Output& output) {
  recipe::LintPolicy policy;
  if (!options.lint_policy.empty()) policy = TRY(recipe::LintPolicy::load(options.lint_policy));
  const auto input = TRY(build_input(options, finder, invocation.progress));
  Made made;
  auto read = TRY(recipe::read_recipe(input, invocation.progress));
  made.bases = std::move(read.bases);
  const auto compression = options.compression == "gzip" ? oci::LayerCompression::gzip : oci::LayerCompression::none;
  made.image = TRY(read.stage.write(images, {compression, input.seconds, Json::object()}, invocation.progress));
  auto findings = TRY(recipe::lint_recipe(input.recipe));
  for (auto& finding : TRY(recipe::lint_image(images, made.image.manifest, input.platform, invocation.progress))) findings.push_back(std::move(finding));
  made.findings = policy.apply(std::move(findings));
  TRY(judge(made.findings, policy, output));
  made.tag = tag_for(options, input, read.name, made.image.manifest.digest);
  TRY(images.tag(made.tag, made.image.manifest));
  return made;
}

Json made_json(const Made& made, const fs::path& layout) {
  Json layers = Json::array(), bases = Json::object();
  for (const auto& layer : made.image.layers) layers.push_back({{"digest", layer.blob.digest.tagged()}, {"size", layer.blob.size}, {"diff_id", layer.diff_id.tagged()}});
  for (const auto& [name, digest] : made.bases) bases[name] = digest.tagged();
  return {{"digest", made.image.manifest.digest.tagged()}, {"tag", made.tag}, {"layout", layout.string()}, {"layers", layers}, {"bases", bases}, {"findings", recipe::to_json(made.findings)}};
}

void tell_of_image(const Made& made, const fs::path& layout, const Output& output) {
  output.result(made_json(made, layout), fmt::format("{} {}\n{} layers; read it with: skopeo inspect oci:{}:{}", made.tag, made.image.manifest.digest.tagged(), made.image.layers.size(), layout.string(), made.tag));
}

Result<int> build_into_layout(Invocation& invocation, const ImageBuildOptions& options, const Output& output) {
  std::shared_ptr<provider::ImageStore> images = TRY(provider::local::LocalImageStore::open(options.layout));
  const ImageFinder finder(nullptr, images, options.registry);
  tell_of_image(TRY(make(invocation, options, finder, *images, output)), options.layout, output);
  return 0;
}

}  // namespace

void add_image_build_options(CLI::App& command, ImageBuildOptions& options) {
  command.add_option("folder", options.folder, "the folder to build from; without it and --file the engine's own image is built");
  command.add_option("-f,--file", options.recipe, "the Dockerfile, or a declaration (.yaml); else Dockerfile, Containerfile or image.yaml of the folder");
  command.add_option("-t,--tag", options.tag, "NAME[:TAG]; a missing tag is the first digits of the image's digest");
  command.add_option("--build-arg", options.arguments, "NAME=VALUE for an ARG; may stand several times")->allow_extra_args(false);
  command.add_option("--target", options.target, "the stage to build");
  command.add_option("--platform", options.platform, "what the image is for")->capture_default_str();
  command.add_option("--compress", options.compression, "layers: none (the same bytes on every machine) or gzip")->check(CLI::IsMember({"none", "gzip"}))->capture_default_str();
  command.add_option("-o,--layout", options.layout, "an OCI layout to build into, instead of the workspace's store");
  command.add_option("--lint-policy", options.lint_policy, "which rules stop the build (config/image_lint.yaml)");
  add_registry_options(command, options.registry);
}

Result<int> build_from_recipe(Invocation& invocation, const ImageBuildOptions& options, const Output& output) {
  if (!options.layout.empty()) return build_into_layout(invocation, options, output);
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  auto& images = *TRY(session->images());
  const ImageFinder finder(session.get(), borrowed(images), options.registry);
  const Made made = TRY(make(invocation, options, finder, images, output));
  const auto layout = session->workspace().layout().images();
  Json facts = made_json(made, layout);
  facts.erase("layout");
  facts.erase("findings");
  TRY(session->record_event("image-build", facts, {{"image", made.image.manifest.digest}}));
  tell_of_image(made, layout, output);
  return 0;
}

}  // namespace redoubt::cli
