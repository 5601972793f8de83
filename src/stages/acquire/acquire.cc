// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/acquire.h"

#include <fmt/format.h>

#include "crypto/hash.h"
#include "stages/acquire/file_kinds.h"
#include "stages/acquire/model_scan.h"

namespace redoubt::stages::acquire {
namespace {

// A download that breaks goes on with the part that broke.
constexpr std::uint64_t kPartBytes = 32 << 20;
constexpr std::uint64_t kSmallBytesMax = 64 << 20;

Result<std::vector<HubFile>> admitted_files(const std::vector<HubFile>& listed, const std::string& repository) {
  std::vector<HubFile> files;
  bool has_weights = false;
  for (const auto& file : listed) {
    const FileKind kind = kind_by_name(file.path);
    if (kind == FileKind::of_no_use) continue;
    if (kind == FileKind::pickle || kind == FileKind::code || kind == FileKind::archive || kind == FileKind::unknown) {
      return fail(ErrorCode::gate_refused, fmt::format("the repository holds a file that is not admitted ({})", to_string(kind)), repository + "/" + file.path,
                  "use a repository, or a revision, with safetensors and JSON alone");
    }
    has_weights = has_weights || kind == FileKind::safetensors;
    files.push_back(file);
  }
  if (!has_weights) return fail(ErrorCode::gate_refused, "the repository holds no safetensors file", repository);
  return files;
}

class Download {
 public:
  Download(const AcquireOptions& options, std::string commit, AcquireDeps& deps)
      : options_(options), commit_(std::move(commit)), deps_(deps), client_(options.hub) {}

  Result<governance::StepProduct> run() {
    const auto files = TRY(admitted_files(TRY(client_.list(options_.repository, commit_)), options_.repository));
    std::uint64_t total = 0;
    for (const auto& file : files) total += file.size;
    deps_.progress.begin("download", total, "bytes");
    vault::Manifest manifest;
    manifest.kind = "model";
    for (const auto& file : files) manifest.files.push_back(TRY(fetch(file)));
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

  // Parts are sealed blobs; which are there is noted, so that the next run goes on.
  Result<Digest> fetch_parts(const HubFile& file) {
    const std::string note = "download-" + crypto::sha256(commit_ + "/" + file.path).hex().substr(0, 32);
    Json parts = TRY(deps_.notes.load(note)).value_or(Json::array());
    for (std::uint64_t offset = 0, number = 0; offset < file.size; offset += kPartBytes, ++number) {
      const std::uint64_t length = std::min(kPartBytes, file.size - offset);
      if (number >= parts.size() || !is_there(parts[number])) {
        MemorySink sink;
        TRY(client_.download(options_.repository, commit_, file, offset, length, sink));
        const Bytes bytes = sink.take();
        if (bytes.size() != length) return fail(ErrorCode::tampered, fmt::format("the hub sent {} bytes of {}", bytes.size(), length), where(file));
        MemorySource source(bytes);
        if (number >= parts.size()) parts.push_back(nullptr);
        parts[number] = TRY(deps_.store.put_blob(source)).tagged();
        TRY(deps_.notes.save(note, parts));
      }
      advance(length);
    }
    auto joined = join(file, parts);
    // Parts that don't make up the file are of no use to a later run.
    TRY(deps_.notes.remove(note));
    for (const auto& part : parts) (void)deps_.objects.remove("blobs/" + TRY(Digest::parse(part.get<std::string>())).hex());
    return joined;
  }

  bool is_there(const Json& part) {
    const auto digest = Digest::parse(part.is_string() ? part.get<std::string>() : "");
    return digest && deps_.store.verify_blob(*digest);
  }

  // Reads the parts one after the other as one file.
  class Parts final : public Source {
   public:
    Parts(vault::ArtifactStore& store, const Json& parts) : store_(store), parts_(parts) {}
    Result<std::size_t> read(MutableByteView into) override {
      while (true) {
        if (source_ != nullptr) {
          const std::size_t count = TRY(source_->read(into));
          if (count > 0) {
            hash.update(ByteView(into).first(count));
            bytes += count;
            return count;
          }
        }
        if (next_ == parts_.size()) return std::size_t{0};
        blob_ = TRY(store_.open_blob(TRY(Digest::parse(parts_[next_++].get<std::string>()))));
        source_ = std::make_unique<RandomAccessSource>(*blob_);
      }
    }
    crypto::Sha256 hash;
    std::uint64_t bytes = 0;

   private:
    vault::ArtifactStore& store_;
    const Json& parts_;
    std::size_t next_ = 0;
    std::unique_ptr<RandomAccess> blob_;
    std::unique_ptr<RandomAccessSource> source_;
  };

  Result<Digest> join(const HubFile& file, const Json& parts) {
    if (!file.sha256) return fail(ErrorCode::gate_refused, "the hub gives no SHA-256 of a large file", where(file));
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
    std::vector<ScannedFile> files;
    for (const auto& file : manifest.files) files.push_back({file.path, [this, digest = file.sha256] { return deps_.store.open_blob(digest); }});
    const ModelScan scanned = TRY(scan_model(files));
    if (scanned.safe()) return {};
    const auto& first = scanned.findings.front();
    return fail(ErrorCode::gate_refused, fmt::format("the model is refused: {}: {}", first.kind, first.detail), options_.repository + "/" + first.path,
                "use another revision or another model");
  }

  void advance(std::uint64_t bytes) { deps_.progress.update(done_ += bytes); }

  const AcquireOptions& options_;
  std::string commit_;
  AcquireDeps& deps_;
  HubClient client_;
  std::uint64_t done_ = 0;
};

bool is_commit(const std::string& text) { return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos; }

}  // namespace

Result<governance::AcquiredModel> acquire(const AcquireOptions& options, AcquireDeps& deps) {
  const std::string commit = is_commit(options.revision) ? options.revision : TRY(HubClient(options.hub).resolve(options.repository, options.revision));
  const governance::StepPlan plan{{}, {{"repository", options.repository}, {"commit", commit}}};
  return deps.recorder.run<governance::AcquireStep>(plan, [&] { return Download(options, commit, deps).run(); });
}

}  // namespace redoubt::stages::acquire
