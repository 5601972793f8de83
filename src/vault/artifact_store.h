// SPDX-License-Identifier: Apache-2.0
//
// Sealed artifacts, named by content. Guarantee: what is read under a digest was put under it in this workspace and has not
// changed since; a put is atomic, and nothing plain touches a disk. Safe to call from several threads and processes.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "provider/object_store.h"
#include "vault/manifest.h"
#include "vault/pending_blob.h"
#include "vault/sealing.h"

namespace redoubt::vault {

// An object that does not verify, and why.
struct Damage {
  std::string object;  // its key in the store: "blobs/<hex>"
  Error error;
};

class ArtifactStore {
 public:
  struct Options {
    std::string workspace;        // the workspace's id, part of every object's context
    SealingKey key;               // seals every object; its KMS must outlive the store
    std::filesystem::path spool;  // a folder for unnamed, sealed temporary files, on a disk with room for the largest blob
  };
  // Told of a blob before its plaintext is given out, by its key in the store; an error keeps it back. What is read to be verified alone
  // is not given out.
  using OnRead = std::function<Status(const std::string& object, std::uint64_t bytes)>;
  // `objects` must outlive the store.
  ArtifactStore(provider::ObjectStore& objects, Options options) : objects_(objects), options_(std::move(options)) {}

  void on_read(OnRead hook) { on_read_ = std::move(hook); }

  // Seals a blob under the SHA-256 of its plaintext. A blob that is there already is verified and not written again. The
  // first form spools what is larger than 4 MiB, since the name is known only at its end; the second reads the object twice;
  // the third reads it once, and what turns out to be something else than `expected` is tampered and not kept.
  Result<Digest> put_blob(Source& contents);
  Result<Digest> put_blob(const RandomAccess& contents);
  Result<Digest> put_blob(Source& contents, const Digest& expected);
  // A blob that comes over time, whose SHA-256 is known before: written as it comes, in one pass, and taken up again where an
  // earlier process was cut off (PendingBlob::bytes). One at a time for a digest.
  Result<std::unique_ptr<PendingBlob>> begin_blob(const Digest& expected);
  // Puts it under its name. tampered when it is something else than expected; then nothing of it is kept.
  Status finish_blob(std::unique_ptr<PendingBlob> blob);
  // not_found, or tampered when the header or the last chunk does not verify; the other chunks are verified as they are
  // read. `unavailable` names the key where it is the key that is not there.
  Result<std::unique_ptr<RandomAccess>> open_blob(const Digest& digest);
  Result<Bytes> read_blob(const Digest& digest, std::uint64_t bytes_max);
  Result<bool> has_blob(const Digest& digest);
  // Whether a blob or an artifact of that digest is there, unread; an error where the store does not say.
  Result<bool> has(const Digest& digest);

  // Every blob that a manifest names must be in the store before; else not_found.
  Result<Digest> put_manifest(const Manifest& manifest);
  Result<Manifest> manifest(const Digest& artifact);
  Result<std::vector<Digest>> artifacts();

  // Seals every file below a folder (no links, no special files).
  Result<Digest> import_folder(const std::filesystem::path& folder, std::string_view kind);
  // Writes the files in clear into a folder that is new or empty: only where a person asked for it.
  Status export_folder(const Digest& artifact, const std::filesystem::path& folder);

  // Reads everything and compares every size and digest; not_found or tampered name the object in `where`.
  Status verify_blob(const Digest& digest);
  Status verify(const Digest& artifact);
  // Every object of the store, and every blob that a manifest names, but for those below "own/", which other keys seal. `unavailable` is what could not be looked at: after a few
  // in a row the store is asked no more, and the rest is told with the same error.
  Result<std::vector<Damage>> verify_all();

 private:
  provider::EncryptionContext context(const char* kind, const std::string& name) const;
  Result<std::unique_ptr<SealedReader>> open_object(const char* kind, const Digest& digest);
  Result<std::unique_ptr<SealedReader>> open_for_reader(const Digest& digest);
  Status put_object(const char* kind, const Digest& digest, Source& contents);
  Status verify_object(const char* kind, const Digest& digest);
  Result<Digest> put_spooled(ByteView start, Source& rest);

  provider::ObjectStore& objects_;
  Options options_;
  OnRead on_read_;
};

}  // namespace redoubt::vault
