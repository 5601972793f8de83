// SPDX-License-Identifier: Apache-2.0
#include "governance/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/counting_sink.h"
#include "base/write_all.h"
#include "crypto/hash.h"
#include "governance/backup_archive.h"
#include "ledger/layout.h"
#include "vault/key_file.h"

namespace redoubt::governance {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSnapshot = ".backup";
constexpr std::uint64_t kBackupBytesMax = 1ull << 40;

// A folder of links to the workspace's files as they are now. Files are replaced and never written into, so they stay as they
// were while others go on writing.
class Snapshot {
 public:
  static Result<std::unique_ptr<Snapshot>> take(const WorkspaceLayout& layout, const ledger::LedgerOptions& ledger) {
    std::unique_ptr<Snapshot> snapshot(new Snapshot(layout.root / kSnapshot));
    snapshot->remove();  // of a process that was killed; the workspace's lock keeps others out
    TRY(make_folder(snapshot->folder_));
    // Whoever changes more than one file in one go holds one of these.
    const auto ledger_lock = TRY(FileLock::acquire(ledger.folder / ledger::kLockName));
    const auto secrets_lock = TRY(FileLock::acquire(layout.secrets() / ".lock"));
    const auto identities_lock = TRY(FileLock::acquire(layout.identities().string() + ".lock"));
    const auto keyring_lock = TRY(FileLock::acquire(layout.keyring().string() + ".lock"));
    // State names objects, so it is taken before them.
    for (const char* file : {"workspace.json", "keyring.json", "identities.json", "ca.pem"}) TRY(snapshot->link(layout.root, file));
    for (const char* folder : {"state", "secrets", "identities", "ledger", "images", "objects"}) TRY(snapshot->link_below(layout.root, folder));
    TRY(snapshot->copy(layout.root, "access.log"));  // after the state, which holds its head
    std::sort(snapshot->paths_.begin(), snapshot->paths_.end());
    return snapshot;
  }
  ~Snapshot() { remove(); }
  const fs::path& folder() const { return folder_; }
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  explicit Snapshot(fs::path folder) : folder_(std::move(folder)) {}

  void remove() const {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  Status link(const fs::path& root, const std::string& path) {
    if (!is_backup_path(path)) return {};
    const fs::path to = folder_ / path;
    std::error_code error;
    fs::create_directories(to.parent_path(), error);
    if (error) return fail_errno(error.value(), "make a folder for the backup", to.parent_path().string());
    if (::linkat(AT_FDCWD, (root / path).c_str(), AT_FDCWD, to.c_str(), 0) != 0) {
      if (errno == ENOENT) return {};  // removed meanwhile, or never there
      return fail_errno(errno, "hold a file for the backup", (root / path).string());
    }
    paths_.push_back(path);
    return {};
  }
  // What is written into and not replaced.
  Status copy(const fs::path& root, const std::string& path) {
    if (!is_there(root / path)) return {};
    const auto lock = TRY(FileLock::acquire((root / path).string() + ".lock"));
    std::error_code error;
    fs::copy_file(root / path, folder_ / path, error);
    if (error) return fail_errno(error.value(), "copy a file for the backup", (root / path).string());
    paths_.push_back(path);
    return {};
  }
  Status link_below(const fs::path& root, const std::string& folder) {
    std::error_code ignored;
    if (!fs::exists(root / folder, ignored)) return {};
    for (const auto& path : TRY(list_files(root / folder))) TRY(link(root, folder + "/" + path));
    return {};
  }

  fs::path folder_;
  std::vector<std::string> paths_;
};

// A file without a name until it is whole: a killed process leaves nothing.
class UnnamedFile final : public Sink {
 public:
  static Result<std::unique_ptr<Sink>> create(const fs::path& path) {
    const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    Fd fd(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (!fd && (errno == EOPNOTSUPP || errno == EISDIR)) return std::unique_ptr<Sink>();
    if (!fd) return fail_errno(errno, "create", path.string());
    return std::unique_ptr<Sink>(new UnnamedFile(path, folder, std::move(fd)));
  }
  Status write(ByteView bytes) override {
    if (!write_all(fd_.get(), bytes)) return fail_errno(errno, "write", path_.string());
    return {};
  }
  Status commit() {
    if (::fsync(fd_.get()) != 0) return fail_errno(errno, "sync", path_.string());
    const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) return fail_errno(errno, "put in place", path_.string());
    return sync_folder(folder_);
  }

 private:
  UnnamedFile(fs::path path, fs::path folder, Fd fd) : path_(std::move(path)), folder_(std::move(folder)), fd_(std::move(fd)) {}
  fs::path path_, folder_;
  Fd fd_;
};

Result<KeyFiles> read_key_files(const fs::path& folder) {
  KeyFiles files;
  for (const auto& name : TRY(list_folder(folder))) {
    if (!name.ends_with(".key") || name.starts_with('.')) continue;
    (void)TRY(vault::read_key_file(folder / name));  // refuses what is no key file, or open to others
    files[name] = Secret(TRY(read_file(folder / name, 4096)));
  }
  if (files.empty()) return fail(ErrorCode::not_found, "there are no key files to put into the backup", folder.string());
  return files;
}

Result<BackupManifest> list_snapshot(const Snapshot& snapshot, Progress& progress) {
  BackupManifest manifest;
  std::uint64_t done = 0;
  progress.begin("reading the workspace", snapshot.paths().size(), "files");
  for (const auto& path : snapshot.paths()) {
    const auto file = TRY(FileReader::open(snapshot.folder() / path));
    BackupFile entry{path, file->size(), {}};
    entry.sha256 = TRY(crypto::sha256_of(*file));
    manifest.files.push_back(std::move(entry));
    progress.update(++done);
  }
  progress.end();
  return manifest;
}

// Refuses a file that is not what was listed: a failing disk, or somebody who writes into files.
class ListedSource final : public Source {
 public:
  ListedSource(Source& from, const BackupFile& listed) : from_(from), listed_(listed) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_.read(into));
    if (count > 0) hash_.update(ByteView(into).first(count));
    if (count == 0 && hash_.finish() != listed_.sha256) return fail(ErrorCode::unavailable, "a file changed while it was backed up", listed_.path, "run the command again");
    return count;
  }

 private:
  Source& from_;
  const BackupFile& listed_;
  crypto::Sha256 hash_;
};

Status write_archive(const Snapshot& snapshot, const BackupManifest& manifest, const crypto::SigningKey& key, Sink& to, Progress& progress) {
  const std::string text = encode_backup_manifest(manifest);
  if (text.size() > kBackupManifestBytesMax) return fail(ErrorCode::limit_exceeded, "too many files for one backup", kBackupManifestName);
  const Bytes signature = key.sign(backup_signed_bytes(text));
  const auto archive = TRY(BackupArchiveWriter::create(to));
  MemorySource manifest_source(view_of(text)), signature_source(signature);
  TRY(archive->add(kBackupManifestName, text.size(), manifest_source));
  TRY(archive->add(kBackupSignatureName, signature.size(), signature_source));
  std::uint64_t done = 0, total = 0;
  for (const auto& file : manifest.files) total += file.size;
  progress.begin("writing the backup", total, "bytes");
  for (const auto& file : manifest.files) {
    const auto reader = TRY(FileReader::open(snapshot.folder() / file.path));
    ListedSource listed(*reader, file);
    TRY(archive->add(file.path, file.size, listed));
    progress.update(done += file.size);
  }
  progress.end();
  return archive->finish();
}

}  // namespace

Status check_free_space(const fs::path& folder, std::uint64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.empty() ? "." : folder.c_str(), &info) != 0) return fail_errno(errno, "look at the file system", folder.string());
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (free_bytes >= bytes) return {};
  return fail(ErrorCode::limit_exceeded, fmt::format("not enough space: {} bytes are needed, {} are free", bytes, free_bytes), folder.string(),
              fmt::format("free at least {} bytes there and run the command again; nothing was changed", bytes - free_bytes));
}

Result<BackupSummary> make_backup(Workspace& workspace, const ledger::LedgerOptions& ledger, const crypto::SigningKey& ledger_key,
                                  const BackupOptions& options, const Clock& clock, Progress& progress) {
  std::error_code ignored;
  const fs::path folder = options.file.parent_path().empty() ? fs::path(".") : options.file.parent_path();
  if (!fs::is_directory(folder, ignored)) return fail(ErrorCode::not_found, "the folder for the backup is not there", folder.string());
  const fs::path inside = fs::canonical(folder, ignored).lexically_relative(fs::canonical(workspace.layout().root, ignored));
  if (!inside.empty() && *inside.begin() != "..") {
    return fail(ErrorCode::invalid_argument, "a backup in the workspace would be lost with it, and is no part of one", options.file.string(), "name a place outside of " + workspace.layout().root.string());
  }
  if (fs::exists(fs::symlink_status(options.file, ignored))) return fail(ErrorCode::already_exists, "there is a file of this name", options.file.string(), "choose a new name");
  std::optional<WrappedKeys> keys;
  if (options.keys_passphrase) keys = TRY(wrap_key_files(TRY(read_key_files(workspace.credentials())), *options.keys_passphrase, workspace.id()));
  const auto snapshot = TRY(Snapshot::take(workspace.layout(), ledger));
  BackupManifest manifest = TRY(list_snapshot(*snapshot, progress));
  manifest.workspace = workspace.id();
  manifest.created = to_rfc3339(clock.now());
  manifest.identity = options.identity;
  manifest.checkpoint = TRY(read_text_file(snapshot->folder() / "ledger" / ledger::kCheckpointName, 1 << 16));
  manifest.keys = std::move(keys);
  BackupSummary summary;
  summary.files = manifest.files.size();
  for (const auto& file : manifest.files) summary.bytes += file.size;
  summary.manifest = crypto::sha256(encode_backup_manifest(manifest));
  summary.checkpoint = TRY(ledger::open_checkpoint(manifest.checkpoint, {ledger.origin, ledger_key.public_key()}, "ledger/checkpoint"));
  TRY(check_free_space(folder, summary.bytes));
  auto unnamed = TRY(UnnamedFile::create(options.file));
  std::unique_ptr<AtomicFile> named;
  if (!unnamed) named = TRY(AtomicFile::create(options.file));
  CountingSink counted(unnamed ? *unnamed : static_cast<Sink&>(*named));
  TRY(write_archive(*snapshot, manifest, ledger_key, counted, progress));
  TRY(unnamed ? static_cast<UnnamedFile&>(*unnamed).commit() : named->commit_new());
  summary.archive_bytes = counted.count();
  return summary;
}

namespace {

class HashingSink final : public Sink {
 public:
  explicit HashingSink(Sink& to) : to_(to) {}
  Status write(ByteView bytes) override {
    hash_.update(bytes);
    size_ += bytes.size();
    return to_.write(bytes);
  }
  Digest digest() { return hash_.finish(); }
  std::uint64_t size() const { return size_; }

 private:
  Sink& to_;
  crypto::Sha256 hash_;
  std::uint64_t size_ = 0;
};

Status unpack_file(BackupArchiveReader& archive, const BackupFile& file, const fs::path& folder) {
  const fs::path path = folder / file.path;
  TRY(make_folder(path.parent_path()));
  const auto out = TRY(AtomicFile::create(path));
  HashingSink hashed(*out);
  TRY(archive.read(file.path, file.size, hashed));
  if (hashed.size() != file.size || hashed.digest() != file.sha256) {
    return fail(ErrorCode::tampered, "the backup was changed: a file is not the one that it lists", file.path);
  }
  return out->commit_new();
}

}  // namespace

Result<UnpackedBackup> unpack_backup(const fs::path& file, const fs::path& folder, Progress& progress) {
  const auto reader = TRY(FileReader::open(file));
  const auto archive = TRY(BackupArchiveReader::open(*reader));
  UnpackedBackup backup;
  MemorySink manifest, signature;
  TRY(archive->read(kBackupManifestName, kBackupManifestBytesMax, manifest));
  TRY(archive->read(kBackupSignatureName, 1024, signature));
  backup.manifest_text = to_text(manifest.take());
  backup.signature = signature.take();
  backup.manifest = TRY(parse_backup_manifest(backup.manifest_text));
  for (const auto& listed : backup.manifest.files) {
    if (listed.size > kBackupBytesMax || backup.bytes > kBackupBytesMax) return fail(ErrorCode::limit_exceeded, "the backup lists more than a tebibyte", file.string());
    backup.bytes += listed.size;
  }
  TRY(check_free_space(folder, backup.bytes));
  std::uint64_t done = 0;
  progress.begin("unpacking the backup", backup.bytes, "bytes");
  for (const auto& listed : backup.manifest.files) {
    TRY(unpack_file(*archive, listed, folder));
    progress.update(done += listed.size);
  }
  progress.end();
  TRY(archive->finish());
  return backup;
}

Status verify_backup_signature(const UnpackedBackup& backup, const ledger::LedgerOptions& ledger, const crypto::PublicKey& ledger_key) {
  if (!ledger_key.verify(backup_signed_bytes(backup.manifest_text), backup.signature)) {
    return fail(ErrorCode::tampered, "the backup was not signed by this workspace's ledger key", kBackupSignatureName);
  }
  const auto path = ledger.folder / ledger::kCheckpointName;
  if (TRY(read_text_file(path, 1 << 16)) != backup.manifest.checkpoint) {
    return fail(ErrorCode::tampered, "the ledger in the backup does not end where the backup says", path.string());
  }
  return {};
}

}  // namespace redoubt::governance
