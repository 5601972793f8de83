// SPDX-License-Identifier: Apache-2.0
#include "stages/image/build.h"

#include "base/file.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "stages/image/oci/writer.h"

namespace redoubt::stages::image {
namespace fs = std::filesystem;
namespace {

// Debian's loader looks here without being told to.
constexpr const char* kLibraryFolder = "usr/lib/x86_64-linux-gnu/";
// A thread of libgomp that waits for work spins: quick while the machine is idle, and a core burnt when it is not. This is about
// the length of one of the engine's own steps; after it the thread sleeps.
constexpr const char* kWaitBriefly = "GOMP_SPINCOUNT=5000";
// SageMaker gives a container folders that belong to root, and asks for containers that run as it. Our own sandbox takes no notice:
// there the program is never root.
constexpr const char* kUser = "0:0";

std::vector<oci::TarEntry> library_entries(const ProgramFiles& files) {
  std::vector<oci::TarEntry> entries;
  for (const auto& [name, file] : files.libraries) entries.push_back({kLibraryFolder + name, 0755, file, {}});
  entries.push_back({files.interpreter.substr(1), 0755, files.interpreter_file, {}});
  entries.push_back({"tmp/", 0755, {}, {}});
  entries.push_back({"opt/ml/", 0755, {}, {}});
  entries.push_back({"proc/", 0755, {}, {}});
  entries.push_back({"dev/", 0755, {}, {}});
  return entries;
}

std::vector<oci::TarEntry> program_entries(const fs::path& program) {
  return {{kEnginePath, 0755, program, {}},
          {"etc/passwd", 0644, {}, "engine:x:65532:65532:Redoubt engine:/opt/ml:/nonexistent\n"},
          {"etc/group", 0644, {}, "engine:x:65532:\n"}};
}

Result<Digest> hash_file(const fs::path& path) {
  auto file = TRY(FileReader::open(path));
  return crypto::sha256_of(*file);
}

}  // namespace

Result<ImageContents> collect_contents(const BuildOptions& options, Progress& progress) {
  ImageContents contents;
  contents.files = TRY(resolve_program(options.program));
  std::vector<std::pair<std::string, fs::path>> files(contents.files.libraries.begin(), contents.files.libraries.end());
  files.emplace_back(kEnginePath, options.program);
  files.emplace_back(contents.files.interpreter, contents.files.interpreter_file);
  progress.begin("image: hash files", files.size(), "files");
  Json list = {{"Env", kWaitBriefly}, {"User", kUser}};
  std::uint64_t done = 0;
  for (const auto& [name, path] : files) {
    list[name] = TRY(hash_file(path)).hex();
    progress.update(++done);
  }
  progress.end();
  contents.digest = crypto::sha256(dump_json(list));
  return contents;
}

std::string tag_of(const BuildOptions& options, const ImageContents& contents) { return options.name + ":" + contents.digest.hex().substr(0, 12); }

Result<BuiltFiles> build_image(const BuildOptions& options, const ImageContents& contents, provider::ImageStore& store, Progress& progress) {
  const auto libraries = TRY(oci::write_layer(store, library_entries(contents.files), {}, "image: libraries", progress));
  const auto program = TRY(oci::write_layer(store, program_entries(options.program), {}, "image: engine", progress));
  const Json labels = {{"org.opencontainers.image.title", options.name}, {"org.opencontainers.image.version", options.version},
                       {"org.opencontainers.image.licenses", "Apache-2.0"}, {"dev.redoubt.contents", contents.digest.tagged()}};
  const Json config = {{"architecture", "amd64"}, {"os", "linux"}, {"created", "1970-01-01T00:00:00Z"},
                       {"config", {{"User", kUser}, {"Entrypoint", {std::string("/") + kEnginePath}}, {"Env", {std::string(kWaitBriefly)}},
                                   {"WorkingDir", "/opt/ml"}, {"Labels", labels}}},
                       {"history", Json::array({{{"created", "1970-01-01T00:00:00Z"}, {"created_by", "redoubt image build: libraries"}},
                                                {{"created", "1970-01-01T00:00:00Z"}, {"created_by", "redoubt image build: engine"}}})}};
  BuiltFiles built;
  built.tag = tag_of(options, contents);
  // The manifest states its own name, so that a changed name in the index is noticed.
  Json annotations = labels;
  annotations["org.opencontainers.image.ref.name"] = built.tag;
  built.manifest = TRY(oci::write_manifest(store, config, {libraries, program}, annotations));
  TRY(store.tag(built.tag, built.manifest));
  return built;
}

}  // namespace redoubt::stages::image
