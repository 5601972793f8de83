// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/acquire.h"

#include <fmt/format.h>

#include <set>

#include "crypto/hash.h"
#include "model_scan/file_kinds.h"
#include "model_scan/model_scan.h"

namespace redoubt::stages::acquire {
namespace {

// A download that breaks goes on with the part that broke.
constexpr std::uint64_t kPartBytes = 32 << 20;

// Policy, on top of the scan: a release is built of weights, configurations and texts alone, so what may hold code when it is loaded,
// however clean it is, stays outside.
bool is_admitted(model_scan::FileKind kind) {
  using Kind = model_scan::FileKind;
  return kind == Kind::safetensors || kind == Kind::gguf || kind == Kind::json || kind == Kind::text || kind == Kind::template_text || kind == Kind::tokenizer_model;
}

Result<std::vector<HubFile>> admitted_files(const std::vector<HubFile>& listed, const std::string& repository) {
  std::vector<HubFile> files;
  bool has_weights = false;
  for (const auto& file : listed) {
    const model_scan::FileKind kind = model_scan::kind_by_name(file.path);
    if (kind == model_scan::FileKind::of_no_use) continue;
    if (!is_admitted(kind)) {
      return fail(ErrorCode::gate_refused, fmt::format("the repository holds a file that is not admitted ({})", to_string(kind)), repository + "/" + file.path,
                  "use a repository, or a revision, with safetensors and JSON alone");
    }
    has_weights = has_weights || kind == model_scan::FileKind::safetensors;
    files.push_back(file);
  }
  if (!has_weights) return fail(ErrorCode::gate_refused, "the repository holds no safetensors file", repository);
  return files;
}

class Download {
 public:
  Download(const AcquireOptions& options, std::string commit, AcquireDeps& deps, const HubClient& client)
      : options_(options), commit_(std::move(commit)), deps_(deps), client_(client) {}

  Result<governance::StepProduct> run() {
    const auto files = TRY(admitted_files(TRY(client_.list(options_.repository, commit_)), options_.repository));
    std::uint64_t total = 0;
    for (const auto& file : files) total += file.size;  // at most 10,000 files of 1 TiB: no overflow
    if (total > options_.bytes_max) {
      return fail(ErrorCode::gate_refused, fmt::format("the model has {} bytes, at most {} are taken", total, options_.bytes_max), options_.repository,
                  "raise model.size_gib_max, or '--size-gib-max', if it is meant");
    }
    deps_.progress.begin("download", total, "bytes");
    vault::Manifest manifest;
    manifest.kind = "model";
    for (const auto& file : files) {
      manifest.files.push_back(TRY(fetch(file)));
      fetched_.insert(manifest.files.back().sha256);
    }
    deps_.progress.end();
    TRY(scan(manifest));
    governance::StepProduct product;
    product.outputs["model"] = TRY(deps_.store.put_manifest(manifest));
    product.result = {{"repository", options_.repository}, {"commit", commit_}, {"files", files.size()}, {"bytes", total}};
    return product;
  }

 private:
  std::string where(const HubFile& file) const { return options_.repository + "/" + file.path; }

  Result<vault::ArtifactFile> fetch(const HubFile& file) {
    if (file.sha256 && TRY(deps_.store.has_blob(*file.sha256)) && deps_.store.verify_blob(*file.sha256)) {
      // A run that ended between joining the parts and removing them left them here.
      if (const auto parts = TRY(deps_.notes.load(note_of(file)))) TRY(discard_parts(file, *parts));
      // Under the same digest there is one size: another one in the list is a lie.
      const std::uint64_t size = TRY(deps_.store.open_blob(*file.sha256))->size();
      TRY(check(file, size, *file.sha256, ""));
      advance(file.size);
      return vault::ArtifactFile{file.path, file.size, *file.sha256};
    }
    const Digest digest = file.size > kPartBytes ? TRY(fetch_parts(file)) : TRY(fetch_whole(file));
    return vault::ArtifactFile{file.path, file.size, digest};
  }

  Result<Digest> fetch_whole(const HubFile& file) {
    MemorySink sink;
    TRY(client_.download(options_.repository, commit_, file, 0, file.size, sink));
    const Bytes bytes = sink.take();
    TRY(check(file, bytes.size(), crypto::sha256(bytes), file.sha256 ? "" : crypto::git_blob_id(bytes)));
    advance(file.size);
    MemorySource source(bytes);
    return deps_.store.put_blob(source);
  }

  std::string note_of(const HubFile& file) const { return "download-" + crypto::sha256(commit_ + "/" + file.path).hex().substr(0, 32); }

  // Parts are sealed blobs; which are there is noted, so that the next run goes on.
  Result<Digest> fetch_parts(const HubFile& file) {
    if (!file.sha256) return fail(ErrorCode::gate_refused, "the hub gives no SHA-256 of a large file", where(file));
    Json parts = TRY(deps_.notes.load(note_of(file))).value_or(Json::array());
    while (parts.size() > (file.size + kPartBytes - 1) / kPartBytes) parts.erase(parts.size() - 1);  // of a longer file, the hub once said
    for (std::uint64_t offset = 0, number = 0; offset < file.size; offset += kPartBytes, ++number) {
      const std::uint64_t length = std::min(kPartBytes, file.size - offset);
      if (number >= parts.size() || !is_there(parts[number], length)) {
        const Bytes bytes = TRY(fetch_part(file, offset, length));
        MemorySource source(bytes);
        if (number >= parts.size()) parts.push_back(nullptr);
        parts[number] = TRY(deps_.store.put_blob(source)).tagged();
        TRY(deps_.notes.save(note_of(file), parts));
      }
      advance(length);
    }
    auto joined = join(file, parts);
    // Parts that don't make up the file are of no use to a later run; a full disk is another matter.
    if (joined || joined.error().code == ErrorCode::tampered) TRY(discard_parts(file, parts));
    return joined;
  }

  Result<Bytes> fetch_part(const HubFile& file, std::uint64_t offset, std::uint64_t length) {
    MemorySink sink;
    TRY(client_.download(options_.repository, commit_, file, offset, length, sink));
    Bytes bytes = sink.take();
    if (bytes.size() != length) return fail(ErrorCode::tampered, fmt::format("the hub sent {} bytes of {}", bytes.size(), length), where(file));
    return bytes;
  }

  // A part may have the bytes of a file that is to stay: of another artifact, or of this model.
  Status discard_parts(const HubFile& file, const Json& parts) {
    std::set<Digest> kept = fetched_;
    for (const auto& artifact : TRY(deps_.store.artifacts())) {
      for (const auto& named : TRY(deps_.store.manifest(artifact)).files) kept.insert(named.sha256);
    }
    TRY(deps_.notes.remove(note_of(file)));
    for (const auto& part : parts) {
      const auto digest = Digest::parse(part.is_string() ? part.get<std::string>() : "");
      if (!digest || kept.contains(*digest) || *digest == file.sha256) continue;
      const auto removed = deps_.objects.remove("blobs/" + digest->hex());
      if (!removed && removed.error().code != ErrorCode::not_found) return fail(removed.error());  // two parts may be equal
    }
    return {};
  }

  bool is_there(const Json& part, std::uint64_t length) {
    const auto digest = Digest::parse(part.is_string() ? part.get<std::string>() : "");
    if (!digest || !deps_.store.verify_blob(*digest)) return false;
    const auto blob = deps_.store.open_blob(*digest);
    return blob && (*blob)->size() == length;
  }

  // Reads the parts one after the other as one file.
  class Parts final : public Source {
   public:
    Parts(vault::ArtifactStore& store, const Json& parts) : store_(store), parts_(parts) {}
    Result<std::size_t> read(MutableByteView into) override {
      while (true) {
        if (source_ != nullptr) {
          const std::size_t count = TRY(source_->read(into));
          if (count > 0) return count;
        }
        if (next_ == parts_.size()) return std::size_t{0};
        blob_ = TRY(store_.open_blob(TRY(Digest::parse(parts_[next_++].get<std::string>()))));
        source_ = std::make_unique<RandomAccessSource>(*blob_);
      }
    }

   private:
    vault::ArtifactStore& store_;
    const Json& parts_;
    std::size_t next_ = 0;
    std::unique_ptr<RandomAccess> blob_;
    std::unique_ptr<RandomAccessSource> source_;
  };

  Result<Digest> join(const HubFile& file, const Json& parts) {
    Parts source(deps_.store, parts);
    auto digest = deps_.store.put_blob(source, *file.sha256);
    if (!digest && digest.error().code == ErrorCode::tampered) {
      return fail(ErrorCode::tampered, "the file is not what the hub says it is: its SHA-256 differs", where(file), "the download was removed; try again, and look into the hub if it happens twice");
    }
    return digest;
  }

  Status check(const HubFile& file, std::uint64_t size, const Digest& digest, const std::string& blob_id) const {
    const bool same = size == file.size && (file.sha256 ? digest == *file.sha256 : blob_id == file.blob_id);
    if (same) return {};
    return fail(ErrorCode::tampered, size == file.size ? "the file is not what the hub says it is: its digest differs" : fmt::format("the hub sent {} bytes of {}", size, file.size),
                where(file), "try again, and look into the hub if it happens twice");
  }

  Status scan(const vault::Manifest& manifest) {
    std::vector<model_scan::ScannedFile> files;
    for (const auto& file : manifest.files) files.push_back({file.path, [this, digest = file.sha256] { return deps_.store.open_blob(digest); }});
    const model_scan::ModelScan scanned = TRY(model_scan::scan_model(files));
    if (scanned.safe()) return {};
    const auto& first = scanned.findings.front();
    return fail(ErrorCode::gate_refused, fmt::format("the model is refused: {}: {}", first.kind, first.detail), options_.repository + "/" + first.path,
                "use another revision or another model");
  }

  void advance(std::uint64_t bytes) { deps_.progress.update(done_ += bytes); }

  const AcquireOptions& options_;
  std::string commit_;
  AcquireDeps& deps_;
  const HubClient& client_;
  std::uint64_t done_ = 0;
  std::set<Digest> fetched_;
};

}  // namespace

Result<governance::AcquiredModel> acquire(const AcquireOptions& options, AcquireDeps& deps) {
  const HubClient client(options.hub);
  TRY(client.check(options.repository, options.revision));
  const std::string commit = is_commit(options.revision) ? options.revision : TRY(client.resolve(options.repository, options.revision));
  const governance::StepPlan plan{{}, {{"repository", options.repository}, {"commit", commit}}};
  return deps.recorder.run<governance::AcquireStep>(plan, [&] { return Download(options, commit, deps, client).run(); });
}

}  // namespace redoubt::stages::acquire
