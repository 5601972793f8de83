// SPDX-License-Identifier: Apache-2.0
//
// redoubt backup, restore: the whole workspace in one file, and back.
#include "governance/backup.h"

#include <fmt/format.h>

#include "base/file.h"
#include "cli/audit.h"
#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/session.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

struct BackupOptions {
  std::string file, to, keys_passphrase_file;
  bool with_keys = false;
  bool accept_older = false;
};

Result<std::optional<Secret>> keys_passphrase(const BackupOptions& options) {
  if (!options.keys_passphrase_file.empty()) return std::optional(TRY(read_secret_file(options.keys_passphrase_file)));
  if (options.with_keys) return std::optional(TRY(read_secret("passphrase for the keys in the backup")));
  return std::optional<Secret>();
}

Result<int> backup(Invocation& invocation, const BackupOptions& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::operate));
  TRY(session->require(governance::Permission::manage_keys));
  governance::BackupOptions wanted{fs::absolute(options.file), session->identity()};
  wanted.keys_passphrase = TRY(keys_passphrase(options));
  const auto lock = TRY(session->workspace().lock());
  // Before, so that the backup holds it too and is not older than the ledger's anchor.
  TRY(session->record_event("backup", {{"action", "backup"}, {"with_keys", wanted.keys_passphrase.has_value()}}));
  const auto done = TRY(governance::make_backup(session->workspace(), session->ledger_options(), session->ledger_key(), wanted, session->clock(), invocation.progress));
  output.result({{"file", wanted.file.string()}, {"files", done.files}, {"bytes", done.bytes}, {"archive_bytes", done.archive_bytes}, {"entries", done.checkpoint.head.size},
                 {"root", done.checkpoint.head.root.hex()}, {"manifest", done.manifest.tagged()}, {"with_keys", wanted.keys_passphrase.has_value()}},
                fmt::format("{}: {} files, {} bytes, ledger of {} entries\n{}", wanted.file.string(), done.files, done.archive_bytes, done.checkpoint.head.size,
                            wanted.keys_passphrase ? "the key files are in it, sealed under your passphrase"
                                                   : "the key files are not in it: keep a copy of " + session->workspace().credentials().string() + " apart"));
  return 0;
}

// What a restore has made so far; dropped before `keep`, it is taken away again.
class Unfinished {
 public:
  Unfinished() = default;
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (kept_) return;
    std::error_code ignored;
    for (const auto& file : files_) fs::remove(file, ignored);
    if (!anchor_.empty()) anchor_text_ ? (void)write_file(anchor_, *anchor_text_) : (void)fs::remove(anchor_, ignored);
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  void folder(fs::path path) { folder_ = std::move(path); }
  void file(fs::path path) { files_.push_back(std::move(path)); }
  void anchor(fs::path path, std::optional<std::string> before) {
    anchor_ = std::move(path);
    anchor_text_ = std::move(before);
  }
  void keep() { kept_ = true; }

 private:
  fs::path folder_, anchor_;
  std::optional<std::string> anchor_text_;
  std::vector<fs::path> files_;
  bool kept_ = false;
};

// Nothing is there, or an empty folder.
Status check_target(const fs::path& to) {
  std::error_code error;
  const auto status = fs::symlink_status(to, error);
  if (!fs::exists(status)) return {};
  if (fs::is_directory(status) && fs::is_empty(to, error) && !error) return {};
  return fail(ErrorCode::already_exists, "there is something here already", to.string(), "restore into a new folder, and move what is there away yourself");
}

// The folder beside the target in which the workspace grows, empty but for its lock.
Result<FileLock> prepare_folder(const fs::path& folder) {
  TRY(make_folder(folder));
  auto lock = TRY(FileLock::try_acquire(folder / "run.lock"));
  for (const auto& name : TRY(list_folder(folder))) {
    std::error_code error;
    if (name != "run.lock") fs::remove_all(folder / name, error);
    if (error) return fail_errno(error.value(), "remove what an interrupted restore left", (folder / name).string());
  }
  return lock;
}

Status write_key_files(const governance::KeyFiles& files, const fs::path& folder, Unfinished& unfinished) {
  TRY(make_folder(folder));
  for (const auto& [name, contents] : files) {
    const fs::path path = folder / name;
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(path, ignored))) {
      if (Secret(TRY(read_file(path, 1 << 16))) == contents) continue;
      return fail(ErrorCode::already_exists, "another key file is there already", path.string(), "move it away, or restore with --credentials of a new folder");
    }
    const auto file = TRY(AtomicFile::create(path));
    TRY(file->write(contents.reveal(SecretAccess::for_storage())));
    TRY(file->commit_new());
    unfinished.file(path);
  }
  return {};
}

class Restore {
 public:
  Restore(Invocation& invocation, const BackupOptions& options, fs::path to) : invocation_(invocation), options_(options), to_(std::move(to)) {
    growing_ = to_.parent_path() / ("." + to_.filename().string() + ".restoring");
  }

  Result<int> run(const Output& output) {
    TRY(check_target(to_));
    const auto passphrase = TRY(keys_passphrase(options_));
    TRY(make_folder(to_.parent_path()));
    const auto lock = TRY(prepare_folder(growing_));
    unfinished_.folder(growing_);
    auto unpacked = governance::unpack_backup(options_.file, growing_, invocation_.progress);
    if (!unpacked && unpacked.error().code == ErrorCode::tampered) unpacked.error().where = options_.file + (unpacked.error().where == "backup" ? "" : ": " + unpacked.error().where);
    backup_ = TRY(std::move(unpacked));
    if (passphrase) TRY(restore_keys(*passphrase));
    TRY(check_signature());
    TRY(check_everything());
    TRY(make_folder(growing_ / "spool"));
    TRY(put_in_place());
    return answer(output);
  }

 private:
  GlobalOptions global(const fs::path& workspace) const {
    GlobalOptions global = invocation_.global;
    global.workspace = workspace.string();
    return global;
  }

  Status restore_keys(const Secret& passphrase) {
    if (!backup_.manifest.keys) {
      return fail(ErrorCode::not_found, "there are no key files in this backup", options_.file, "put the copy of the key files back, then restore without a passphrase for them");
    }
    const auto files = TRY(governance::open_key_files(*backup_.manifest.keys, passphrase, backup_.manifest.workspace));
    const fs::path folder = invocation_.global.credentials.empty() ? TRY(governance::default_credentials_folder(backup_.manifest.workspace)) : fs::path(invocation_.global.credentials);
    return write_key_files(files, folder, unfinished_);
  }

  // Opens the keyring: only who could open the workspace before gets further than this.
  Status check_signature() {
    const auto parts = TRY(Session::open_unpacked(global(growing_)));
    if (parts.workspace != backup_.manifest.workspace) return fail(ErrorCode::tampered, "the backup says that it is of another workspace", options_.file);
    TRY(governance::verify_backup_signature(backup_, parts.ledger, parts.ledger_key));
    const auto head = TRY(ledger::open_checkpoint(backup_.manifest.checkpoint, {parts.ledger.origin, parts.ledger_key}, "ledger/checkpoint")).head;
    return meet_anchor(parts, head);
  }

  Status meet_anchor(const Session::UnpackedParts& parts, const ledger::TreeHead& head) {
    std::error_code ignored;
    if (!fs::exists(parts.ledger.anchor, ignored)) {
      unfinished_.anchor(parts.ledger.anchor, std::nullopt);
      (void)TRY(ledger::adopt_ledger(parts.ledger, parts.ledger_key));
      return {};
    }
    const auto text = TRY(read_text_file(parts.ledger.anchor, 1 << 16));
    const auto anchored = TRY(ledger::open_checkpoint(text, {parts.ledger.origin, parts.ledger_key}, parts.ledger.anchor.string())).head;
    lost_ = anchored.size > head.size ? anchored.size - head.size : 0;
    if (lost_ == 0) return {};
    if (!options_.accept_older) {
      return fail(ErrorCode::tampered, fmt::format("the backup is older than the workspace was: its ledger has {} entries, and once had {}", head.size, anchored.size), options_.file,
                  fmt::format("take a newer backup; if there is none and the last {} entries may be lost, say --accept-older", lost_));
    }
    unfinished_.anchor(parts.ledger.anchor, text);
    (void)TRY(ledger::adopt_ledger(parts.ledger, parts.ledger_key));
    return {};
  }

  Status check_everything() {
    const auto session = TRY(Session::open(global(growing_)));
    TRY(session->require(governance::Permission::manage_keys));
    const AuditReport report = audit_session(*session);
    entries_ = report.entries;
    return report.sound(fmt::format("the backup is not restored, {} problems", report.problems.size()));
  }

  Status put_in_place() {
    TRY(sync_folder(growing_));
    if (::rename(growing_.c_str(), to_.c_str()) != 0) return fail_errno(errno, "put in place", to_.string());
    unfinished_.keep();
    TRY(sync_folder(to_.parent_path()));
    const auto session = TRY(Session::open(global(to_), Duty::operate));
    TRY(session->record_event("backup", {{"action", "restore"}, {"made", backup_.manifest.created}, {"made_by", backup_.manifest.identity}, {"entries", entries_}, {"entries_lost", lost_}}));
    return {};
  }

  Result<int> answer(const Output& output) const {
    output.result({{"workspace", to_.string()}, {"id", backup_.manifest.workspace}, {"made", backup_.manifest.created}, {"files", backup_.manifest.files.size()},
                   {"bytes", backup_.bytes}, {"entries", entries_}, {"entries_lost", lost_}},
                  fmt::format("{}: workspace {} as it was at {}, {} files, ledger of {} entries; everything verified\nnext: redoubt --workspace {} status", to_.string(),
                              backup_.manifest.workspace, backup_.manifest.created, backup_.manifest.files.size(), entries_, to_.string()));
    return 0;
  }

  Invocation& invocation_;
  const BackupOptions& options_;
  fs::path to_, growing_;
  governance::UnpackedBackup backup_;
  std::uint64_t entries_ = 0, lost_ = 0;
  Unfinished unfinished_;
};

Result<int> restore_backup(Invocation& invocation, const BackupOptions& options, const Output& output) {
  fs::path to = fs::absolute(options.to.empty() ? invocation.global.workspace : options.to).lexically_normal();
  if (to.filename().empty()) to = to.parent_path();
  return Restore(invocation, options, to).run(output);
}

}  // namespace

void add_backup_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<BackupOptions>();
  const auto add_keys = [options](CLI::App* command, const char* help) {
    command->add_flag("--with-keys", options->with_keys, help);
    command->add_option("--keys-passphrase-file", options->keys_passphrase_file, "a file with the passphrase for --with-keys, which it implies");
  };
  CLI::App* make = add_command(app, invocation, "backup", "The whole workspace, sealed as it is, in one file",
                               [&invocation, options](const Output& output) { return backup(invocation, *options, output); });
  make->add_option("-o,--output", options->file, "the file to write; it must not be there yet")->required();
  add_keys(make, "put the key files into it too, sealed under a passphrase of their own");
  CLI::App* back = add_command(app, invocation, "restore", "A workspace out of a backup; everything is verified before it is put in place",
                               [&invocation, options](const Output& output) { return restore_backup(invocation, *options, output); });
  back->add_option("file", options->file, "what 'redoubt backup' wrote")->required();
  back->add_option("--to", options->to, "a folder that is not there yet (default: the workspace's)");
  back->add_flag("--accept-older", options->accept_older, "also when this machine has seen a longer ledger: what came after the backup is lost");
  add_keys(back, "take the key files out of it too");
}

}  // namespace redoubt::cli
