// SPDX-License-Identifier: Apache-2.0
#include "vault/artifact_store.h"

#include "base/file.h"
#include "crypto/checked_source.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "vault/spool.h"

namespace redoubt::vault {
namespace {

constexpr std::uint64_t kSpoolAbove = 4 << 20;
constexpr int kUnansweredMax = 3;  // one after the other, each asked for several times by its provider
constexpr const char* kBlob = "blob";
constexpr const char* kManifest = "manifest";

std::string object_key(const char* kind, const Digest& digest) { return std::string(kind) + "s/" + digest.hex(); }

constexpr const char* kNotNamed = "the contents are not those that the digest names";

// Errors about an object name its key; one of a service that did not give it keeps that service's own name of what it refused.
tl::unexpected<Error> named(Error error, const std::string& object) {
  const bool is_the_object_s = error.code == ErrorCode::tampered || error.code == ErrorCode::not_found;
  if (is_the_object_s || error.where.empty()) error.where = object;
  return fail(std::move(error));
}

}  // namespace

provider::EncryptionContext ArtifactStore::context(const char* kind, const std::string& name) const {
  return {{"workspace", options_.workspace}, {"kind", kind}, {"name", name}};
}

Result<std::unique_ptr<SealedReader>> ArtifactStore::open_object(const char* kind, const Digest& digest) {
  const auto key = object_key(kind, digest);
  auto sealed = objects_.open(key);
  if (!sealed) return named(std::move(sealed.error()), key);
  auto reader = SealedReader::open(std::move(*sealed), options_.key, context(kind, digest.hex()));
  if (reader) return reader;
  // The object is there; what is not, or not enabled, is the key.
  Error& error = reader.error();
  if (error.code == ErrorCode::not_found && error.where == options_.key.uri) error.code = ErrorCode::unavailable;
  return named(std::move(error), key);
}

Status ArtifactStore::put_object(const char* kind, const Digest& digest, Source& contents) {
  crypto::CheckedSource checked(contents, digest, kNotNamed);
  auto sealing = TRY(SealingSource::create(options_.key, context(kind, digest.hex()), checked));
  auto put = objects_.put(object_key(kind, digest), *sealing, provider::PutMode::create_only);
  if (!put && put.error().code == ErrorCode::already_exists) return verify_object(kind, digest);
  return put;
}

Result<Digest> ArtifactStore::put_blob(Source& contents) {
  Bytes start(64 << 10);
  std::size_t filled = 0;
  while (true) {
    const std::size_t count = TRY(contents.read(MutableByteView(start).subspan(filled)));
    filled += count;
    if (count == 0) break;
    if (filled == kSpoolAbove) return put_spooled(start, contents);
    if (filled == start.size()) start.resize(std::min<std::uint64_t>(2 * start.size(), kSpoolAbove));
  }
  start.resize(filled);
  MemorySource source(start);
  const auto digest = crypto::sha256(start);
  const auto put = put_object(kBlob, digest, source);
  wipe_memory(start);
  if (!put) return fail(put.error());
  return digest;
}

Result<Digest> ArtifactStore::put_spooled(ByteView start, Source& rest) {
  auto spool = TRY(SpoolFile::create(options_.spool));
  const auto spooled = context("spool", to_hex(crypto::random_bytes(16)));
  crypto::Sha256 hash;
  auto sink = TRY(SealingSink::create(options_.key, spooled, *spool));
  hash.update(start);
  TRY(sink->write(start));
  Bytes chunk(1 << 20);
  while (const std::size_t count = TRY(rest.read(chunk))) {
    hash.update(ByteView(chunk).first(count));
    TRY(sink->write(ByteView(chunk).first(count)));
  }
  TRY(sink->finish());
  const auto digest = hash.finish();
  const auto reader = TRY(SealedReader::open(std::move(spool), options_.key, spooled));
  RandomAccessSource source(*reader);
  TRY(put_object(kBlob, digest, source));
  return digest;
}

Result<Digest> ArtifactStore::put_blob(const RandomAccess& contents) {
  RandomAccessSource once(contents), again(contents);
  const auto digest = TRY(crypto::sha256_of(once));
  TRY(put_object(kBlob, digest, again));
  return digest;
}

Result<Digest> ArtifactStore::put_blob(Source& contents, const Digest& expected) {
  TRY(put_object(kBlob, expected, contents));
  return expected;
}

Result<std::unique_ptr<PendingBlob>> ArtifactStore::begin_blob(const Digest& expected) {
  static crypto::HashPairing pairing;  // of all that comes into this process
  return PendingBlob::begin(options_.spool / ("partial-" + expected.hex()), options_.key, context(kBlob, expected.hex()), expected, pairing);
}

Status ArtifactStore::finish_blob(std::unique_ptr<PendingBlob> blob) {
  TRY(blob->finish());
  auto adopted = objects_.adopt(object_key(kBlob, blob->expected()), blob->file());
  if (adopted || adopted.error().code != ErrorCode::already_exists) return adopted;
  blob->discard();
  return verify_object(kBlob, blob->expected());
}

Result<std::unique_ptr<SealedReader>> ArtifactStore::open_for_reader(const Digest& digest) {
  auto blob = TRY(open_object(kBlob, digest));
  if (on_read_) TRY(on_read_(object_key(kBlob, digest), blob->size()));
  return blob;
}

Result<std::unique_ptr<RandomAccess>> ArtifactStore::open_blob(const Digest& digest) { return TRY(open_for_reader(digest)); }

Result<Bytes> ArtifactStore::read_blob(const Digest& digest, std::uint64_t bytes_max) {
  const auto reader = TRY(open_for_reader(digest));
  if (reader->size() > bytes_max) return fail(ErrorCode::limit_exceeded, "a stored object is too large", digest.tagged());
  Bytes bytes(static_cast<std::size_t>(reader->size()));
  TRY(reader->read_at(0, bytes));
  return bytes;
}

Result<bool> ArtifactStore::has_blob(const Digest& digest) {
  const auto object = objects_.open(object_key(kBlob, digest));
  if (!object && object.error().code != ErrorCode::not_found) return fail(object.error());
  return object.has_value();
}

Result<bool> ArtifactStore::has(const Digest& digest) {
  for (const char* kind : {kBlob, kManifest}) {
    const auto object = objects_.open(object_key(kind, digest));
    if (object) return true;
    if (object.error().code != ErrorCode::not_found) return fail(object.error());
  }
  return false;
}

Result<Digest> ArtifactStore::put_manifest(const Manifest& manifest) {
  const auto json = TRY(encode_manifest(manifest));
  for (const auto& file : manifest.files) {
    const auto blob = TRY(open_object(kBlob, file.sha256));
    if (blob->size() != file.size) return fail(ErrorCode::invalid_argument, "a manifest names a wrong size", file.path);
  }
  const auto digest = crypto::sha256(json);
  MemorySource source(view_of(json));
  TRY(put_object(kManifest, digest, source));
  return digest;
}

Result<Manifest> ArtifactStore::manifest(const Digest& artifact) {
  const auto key = object_key(kManifest, artifact);
  const auto reader = TRY(open_object(kManifest, artifact));
  if (reader->size() > kManifestBytesMax) return fail(ErrorCode::limit_exceeded, "a manifest is too large", key);
  Bytes json(static_cast<std::size_t>(reader->size()));
  TRY(reader->read_at(0, json));
  if (crypto::sha256(json) != artifact) return fail(ErrorCode::tampered, "a manifest does not have its digest", key);
  auto manifest = parse_manifest(text_of(json));
  if (!manifest) return named(std::move(manifest.error()), key);
  return manifest;
}

Result<std::vector<Digest>> ArtifactStore::artifacts() {
  std::vector<Digest> digests;
  for (const auto& key : TRY(objects_.list("manifests/")))
    digests.push_back(TRY(Digest::parse(key.substr(key.rfind('/') + 1))));
  return digests;
}

Result<Digest> ArtifactStore::import_folder(const std::filesystem::path& folder, std::string_view kind) {
  Manifest manifest{std::string(kind), {}};
  for (const auto& path : TRY(list_files(folder))) {
    const auto file = TRY(FileReader::open(folder / path));
    const auto digest = TRY(put_blob(static_cast<const RandomAccess&>(*file)));
    manifest.files.push_back({path, file->size(), digest});
  }
  return put_manifest(manifest);
}

Status ArtifactStore::export_folder(const Digest& artifact, const std::filesystem::path& folder) {
  const auto files = TRY(manifest(artifact)).files;
  TRY(make_folder(folder));
  if (!TRY(list_folder(folder)).empty()) return fail(ErrorCode::already_exists, "the folder is not empty", folder.string());
  for (const auto& file : files) {
    const auto path = folder / file.path;
    TRY(make_folder(path.parent_path()));
    const auto blob = TRY(open_for_reader(file.sha256));
    RandomAccessSource plain(*blob);
    crypto::CheckedSource checked(plain, file.sha256, kNotNamed);
    auto out = TRY(AtomicFile::create(path));
    TRY(copy(checked, *out));
    TRY(out->commit());
  }
  return {};
}

Status ArtifactStore::verify_object(const char* kind, const Digest& digest) {
  const auto reader = TRY(open_object(kind, digest));
  RandomAccessSource source(*reader);
  const auto actual = crypto::sha256_of(source);
  if (!actual) return named(actual.error(), object_key(kind, digest));
  if (*actual == digest) return {};
  return fail(ErrorCode::tampered, "a stored object does not have the digest it is named by", object_key(kind, digest));
}

Status ArtifactStore::verify_blob(const Digest& digest) { return verify_object(kBlob, digest); }

Status ArtifactStore::verify(const Digest& artifact) {
  const auto files = TRY(manifest(artifact)).files;
  for (const auto& file : files) {
    TRY(verify_object(kBlob, file.sha256));
    if (TRY(open_object(kBlob, file.sha256))->size() == file.size) continue;
    return fail(ErrorCode::tampered, "a file does not have the size in its manifest", file.path);
  }
  return {};
}

Result<std::vector<Damage>> ArtifactStore::verify_all() {
  std::vector<Damage> damages;
  int unanswered = 0;
  const auto note = [&damages](const std::string& object, const Error& error) { damages.push_back({object, error}); };
  for (const auto& key : TRY(objects_.list(""))) {
    if (key.starts_with("own/")) continue;
    const auto digest = Digest::parse(key.substr(key.rfind('/') + 1));
    const bool is_blob = digest && key == object_key(kBlob, *digest);
    const bool is_manifest = digest && key == object_key(kManifest, *digest);
    if (!is_blob && !is_manifest) {
      note(key, Error{ErrorCode::tampered, "an object that the vault did not write", key});
      continue;
    }
    if (unanswered == kUnansweredMax) {
      note(key, Error(damages.back().error));
      continue;
    }
    const auto verified = verify_object(is_blob ? kBlob : kManifest, *digest);
    if (!verified) note(key, verified.error());
    unanswered = !verified && verified.error().code == ErrorCode::unavailable ? unanswered + 1 : 0;
    if (!is_manifest || unanswered > 0) continue;
    const auto named_files = manifest(*digest);
    for (const auto& file : named_files ? named_files->files : std::vector<ArtifactFile>{}) {
      const auto there = has_blob(file.sha256);
      if (there && !*there)
        note(object_key(kBlob, file.sha256), Error{ErrorCode::tampered, "a file of an artifact is missing", key});
    }
  }
  return damages;
}

}  // namespace redoubt::vault
