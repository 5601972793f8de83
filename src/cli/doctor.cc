// SPDX-License-Identifier: Apache-2.0
//
// redoubt doctor: what this machine and this workspace need in order to work, each with its cure.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/audit.h"
#include "cli/commands.h"
#include "cli/engine_image.h"
#include "cli/key_age.h"
#include "cli/session.h"
#include "crypto/x509.h"
#include "sandbox/sandbox.h"
#include "stages/image/step.h"
#include "stages/image/oci/tar.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSpaceNeeded = 5ull << 30;  // a small model, its sealed copy, an image and checkpoints
constexpr auto kAuthorityWarning = std::chrono::days(30);

enum class CheckVerdict { ok, warning, failed };

struct Finding {
  std::string name;
  CheckVerdict verdict = CheckVerdict::ok;
  std::string detail, cure;
};

const char* to_string(CheckVerdict verdict) {
  switch (verdict) {
    case CheckVerdict::ok: return "ok";
    case CheckVerdict::warning: return "warning";
    case CheckVerdict::failed: return "failed";
  }
  return "failed";
}

Finding failed(const char* name, const Error& error) {
  return {name, CheckVerdict::failed, error.message + (error.where.empty() ? "" : " (" + error.where + ")"), error.hint};
}

// The kernel is asked about a process that waits to run a program; the program itself is none, so nothing runs.
Finding check_sandbox() {
  constexpr const char* kName = "sandbox";
  auto layer = stages::image::oci::TarSource::create({{"bin/nothing", 0755, {}, "no program"}});
  if (!layer) return failed(kName, layer.error());
  sandbox::Options options;
  options.layers.push_back(std::move(*layer));
  auto made = sandbox::Sandbox::create(std::move(options));
  if (!made) return failed(kName, made.error());
  const auto started = (*made)->start({{"/bin/nothing"}, {}, {}});
  const auto& proved = (*made)->confinement().proved;
  if (proved.empty()) return started ? Finding{kName, CheckVerdict::failed, "nothing was proved", ""} : failed(kName, started.error());
  const int landlock = (*made)->confinement().landlock_abi;
  if (landlock == 0) return {kName, CheckVerdict::warning, fmt::format("{} promises proved; this kernel has no Landlock", proved.size()), "a kernel of 5.13 or later adds it; the other walls stand"};
  return {kName, CheckVerdict::ok, fmt::format("{} promises proved, Landlock {}", proved.size(), landlock), ""};
}

// Its first line, or why it does not start. The engine holds no secret, and --version reads nothing.
Result<std::string> version_of(const fs::path& engine) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe", engine.string());
  Fd out(ends[0]), in(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "start the engine", engine.string());
  if (child == 0) {
    ::dup2(in.get(), STDOUT_FILENO);
    ::dup2(in.get(), STDERR_FILENO);
    char* const arguments[] = {const_cast<char*>("redoubt-engine"), const_cast<char*>("--version"), nullptr};
    char* const environment[] = {nullptr};
    ::execve(engine.c_str(), arguments, environment);
    ::_exit(127);
  }
  in.reset();
  std::string text(4096, '\0');
  std::size_t filled = 0;
  ssize_t count = 0;
  while (filled < text.size() && ((count = ::read(out.get(), text.data() + filled, text.size() - filled)) > 0 || (count < 0 && errno == EINTR))) filled += count > 0 ? static_cast<std::size_t>(count) : 0;
  out.reset();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  text.resize(std::min(filled, text.find('\n')));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  return fail(ErrorCode::unavailable, "the engine does not start: " + (text.empty() ? "no word from it" : text), engine.string(), "its libtorch is missing or another one: build both again with ./scripts/build");
}

Finding check_engine() {
  const auto engine = find_engine();
  if (!engine) return failed("engine", engine.error());
  const auto version = version_of(*engine);
  if (!version) return failed("engine", version.error());
  return {"engine", CheckVerdict::ok, *version + " with its libtorch", ""};
}

Finding check_clock(TimePoint now, std::optional<TimePoint> made, std::optional<TimePoint> newest) {
  const TimePoint built = parse_rfc3339("2025-01-01T00:00:00Z").value_or(TimePoint{});
  const auto earliest = std::max({built, made.value_or(built), newest.value_or(built)});
  if (now + std::chrono::seconds(2) >= earliest) return {"clock", CheckVerdict::ok, to_rfc3339(now), ""};
  return {"clock", CheckVerdict::failed, fmt::format("it is {} here, but {} was recorded already", to_rfc3339(now), to_rfc3339(earliest)), "set the clock, or let it be set (systemd-timesyncd, chrony)"};
}

Finding check_space(const fs::path& folder) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return failed("space", fail_errno(errno, "look at the file system", folder.string()).value());
  const std::uint64_t bytes = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  const std::string detail = fmt::format("{:.1f} GiB free at {}", static_cast<double>(bytes) / (1ull << 30), folder.string());
  if (bytes >= kSpaceNeeded) return {"space", CheckVerdict::ok, detail, ""};
  const std::string cure = fmt::format("free {:.1f} GiB there; a run of a small model needs about {:.0f} GiB", static_cast<double>(kSpaceNeeded - bytes) / (1ull << 30), static_cast<double>(kSpaceNeeded) / (1ull << 30));
  return {"space", bytes < (256ull << 20) ? CheckVerdict::failed : CheckVerdict::warning, detail, cure};
}

Finding check_advisories(TimePoint now) {
  const stages::image::ScanOptions options;
  const auto read = advisories::read_apt_security(options.apt_lists);
  if (!read) {
    auto finding = failed("advisories", read.error());
    if (finding.cure.empty()) finding.cure = "apt-get update";
    return finding;
  }
  const TimePoint oldest = std::min(now, read->feed.dated);
  if (const auto fresh = advisories::check_age({read->feed}, options.feed_age_days_max, now); !fresh) {
    auto finding = failed("advisories", fresh.error());
    if (finding.cure.empty()) finding.cure = "apt-get update";
    return finding;
  }
  return {"advisories", CheckVerdict::ok, fmt::format("1 feed, of {}", to_rfc3339(oldest)), ""};
}

// One line for all key files, the first that is wrong by name.
Finding check_key_files(const fs::path& folder) {
  static constexpr const char* kName = "key files";
  const auto names = list_folder(folder);
  if (!names) return failed(kName, names.error());
  int count = 0;
  const auto check = [](const fs::path& path, mode_t closed) -> std::optional<Finding> {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return failed(kName, fail_errno(errno, "look at", path.string()).value());
    if (info.st_uid != ::geteuid()) return Finding{kName, CheckVerdict::failed, path.string() + " belongs to another user", "chown it, or run as its owner"};
    if ((info.st_mode & closed) != 0) return Finding{kName, CheckVerdict::failed, fmt::format("{} is open to others ({:o})", path.string(), info.st_mode & 07777), "chmod go= '" + path.string() + "'; if others could read it, rotate the key"};
    return std::nullopt;
  };
  if (const auto wrong = check(folder, 022)) return *wrong;
  for (const auto& name : *names) {
    if (!name.ends_with(".key")) continue;
    ++count;
    if (const auto wrong = check(folder / name, 077)) return *wrong;
  }
  return {kName, CheckVerdict::ok, fmt::format("{} in {}, closed to others", count, folder.string()), ""};
}

Finding check_authority(const fs::path& root, TimePoint now) {
  constexpr const char* kName = "certificate authority";
  std::error_code ignored;
  if (!fs::exists(root / "ca.pem", ignored)) return {kName, CheckVerdict::ok, "none yet; the first deployment makes it", ""};
  const auto text = read_text_file(root / "ca.pem", 1 << 20);
  const auto info = text ? crypto::read_certificate(*text) : Result<crypto::CertificateInfo>(fail(text.error()));
  if (!info) return failed(kName, info.error());
  const std::string cure = "deploy with a new authority: stop the endpoint, remove state/tls-authority and ca.pem, deploy again, and hand the new ca.pem to clients";
  if (now > info->not_after) return {kName, CheckVerdict::failed, "it ended at " + to_rfc3339(info->not_after), cure};
  if (now + kAuthorityWarning > info->not_after) return {kName, CheckVerdict::warning, "it ends at " + to_rfc3339(info->not_after), cure};
  return {kName, CheckVerdict::ok, "good until " + to_rfc3339(info->not_after), ""};
}

Finding check_secrets(provider::SecretStore& secrets, TimePoint now) {
  constexpr const char* kName = "secrets";
  const auto infos = secrets.list();
  if (!infos) return failed(kName, infos.error());
  std::string old, cure;
  for (const auto& info : *infos) {
    if (now - info.changed <= provider::kSecretAgeMax) continue;
    old += fmt::format("{}{} was put {} days ago", old.empty() ? "" : ", ", info.name, (now - info.changed) / std::chrono::hours(24));
    cure += fmt::format("{}redoubt secret rotate {}", cure.empty() ? "" : "; ", info.name);
  }
  if (old.empty()) return {kName, CheckVerdict::ok, fmt::format("{}, none older than {} days", infos->size(), provider::kSecretAgeMax / std::chrono::hours(24)), ""};
  return {kName, CheckVerdict::warning, old, cure};
}

Finding check_key_age(Session& session) {
  const auto age = key_age(session);
  if (!age) return failed("key age", age.error());
  return {"key age", age->overdue() ? CheckVerdict::warning : CheckVerdict::ok, age->text(), age->overdue() ? "redoubt keys rotate" : ""};
}

// The ledger's head, its anchor, and that keys and registry open. Reading every object is what 'audit verify' is for.
void check_workspace(const GlobalOptions& options, std::vector<Finding>& findings, const SystemClock& clock) {
  auto session = Session::open(options);
  if (!session) {
    findings.push_back(failed("workspace", session.error()));
    findings.push_back(check_clock(clock.now(), std::nullopt, std::nullopt));
    return;
  }
  auto& workspace = (*session)->workspace();
  std::optional<TimePoint> newest;
  Finding integrity{"workspace", CheckVerdict::ok, "", ""};
  const auto checkpoint = (*session)->evidence().checkpoint();
  if (!checkpoint) {
    integrity = failed("workspace", checkpoint.error());
  } else {
    integrity.detail = fmt::format("{} ledger entries, root {}; 'redoubt audit verify' reads every object too", checkpoint->head.size, checkpoint->head.root.hex().substr(0, 16));
    if (checkpoint->head.size > 0) {
      const auto last = (*session)->evidence().at(checkpoint->head.size - 1);
      const auto record = last ? attest::to_step_record(last->statement) : Result<attest::StepRecord>(fail(last.error()));
      if (record) newest = record->finished;
      if (!last) integrity = failed("workspace", last.error());
    }
  }
  if (const auto registry = (*session)->registry(); integrity.verdict == CheckVerdict::ok && !registry) integrity = failed("workspace", registry.error());
  findings.push_back(integrity);
  std::error_code ignored;
  const auto anchor = (*session)->ledger_options().anchor;
  findings.push_back(fs::exists(anchor, ignored) ? Finding{"anchor", CheckVerdict::ok, anchor.string(), ""}
                                                 : Finding{"anchor", CheckVerdict::failed, "the ledger has no anchor outside of the workspace", "see 'redoubt restore --help'"});
  findings.push_back(check_key_files(workspace.credentials()));
  findings.push_back(check_key_age(**session));
  findings.push_back(check_secrets((*session)->secrets(), clock.now()));
  findings.push_back(check_authority(workspace.layout().root, clock.now()));
  findings.push_back(check_clock(clock.now(), workspace.created(), newest));
}

Result<int> doctor(Invocation& invocation, const Output& output) {
  const SystemClock clock;
  std::vector<Finding> findings{check_sandbox(), check_engine(), check_advisories(clock.now())};
  std::error_code ignored;
  const fs::path workspace = fs::absolute(invocation.global.workspace);
  if (fs::exists(workspace / "workspace.json", ignored)) {
    check_workspace(invocation.global, findings, clock);
    findings.push_back(check_space(workspace));
  } else {
    findings.push_back({"workspace", CheckVerdict::warning, "there is none at " + workspace.string(), "redoubt init"});
    findings.push_back(check_clock(clock.now(), std::nullopt, std::nullopt));
    fs::path existing = workspace;
    while (!fs::exists(existing, ignored) && existing.has_relative_path()) existing = existing.parent_path();
    findings.push_back(check_space(existing));
  }
  bool ok = true;
  Json checks = Json::array();
  Table table{{"CHECK", "VERDICT", "DETAIL"}, {}};
  std::string cures;
  for (const auto& finding : findings) {
    ok = ok && finding.verdict != CheckVerdict::failed;
    checks.push_back({{"name", finding.name}, {"verdict", to_string(finding.verdict)}, {"detail", finding.detail}, {"cure", finding.cure}});
    table.rows.push_back({finding.name, to_string(finding.verdict), finding.detail});
    if (finding.verdict != CheckVerdict::ok && !finding.cure.empty()) cures += fmt::format("{}: {}\n", finding.name, finding.cure);
  }
  output.result({{"ok", ok}, {"checks", checks}}, render(table) + (cures.empty() ? "" : "\nwhat helps:\n" + cures));
  return ok ? 0 : 1;
}

}  // namespace

void add_doctor_command(CLI::App& app, Invocation& invocation) {
  add_command(app, invocation, "doctor", "Whether this machine and this workspace have what they need, and what helps where not",
              [&invocation](const Output& output) { return doctor(invocation, output); });
}

}  // namespace redoubt::cli
