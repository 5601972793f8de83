// SPDX-License-Identifier: Apache-2.0
#include "hub/uploads.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "crypto/hash.h"
#include "crypto/random.h"
#include "http/message.h"

namespace redoubt::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kAddressSeconds = 24 * 3600;
constexpr std::uint64_t kUploadBytesMax = 160ull << 30;
constexpr std::size_t kFilesMax = 10'000;

std::int64_t seconds(TimePoint time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }

template <class Number>
Result<Number> number_of(const std::string& text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  return fail(ErrorCode::invalid_argument, "not a number");
}

Result<std::string> parameter(std::string_view query, const char* name) {
  const auto value = TRY(http::query_value(query, name));
  if (value) return *value;
  return fail(ErrorCode::permission_denied, "the address is not complete");
}

}  // namespace

Uploads::Uploads(Store& store, Repositories& folders, Scan scan, const Clock& clock) : store_(store), folders_(folders), scan_(std::move(scan)), clock_(clock), key_(crypto::random_secret(32)) {}

// --- commits

Status Uploads::create(const std::string& id, const std::string& author) {
  const auto mutex = store_.lock_of(id);
  const std::scoped_lock lock(*mutex);
  const auto slash = id.find('/');
  const auto in_folder = folders_.open(id.substr(0, slash), id.substr(slash + 1));
  if (store_.has(id) || in_folder || in_folder.error().code != ErrorCode::not_found) return fail(ErrorCode::already_exists, "the repository is there", id);
  Commit first{.repository = {.id = id, .commit = crypto::sha256(id + to_rfc3339(clock_.now())).hex().substr(0, 40), .modified = to_rfc3339(clock_.now()), .files = {}, .findings = {}},
               .parent = "", .title = "initial commit", .message = "", .author = author};
  TRY(store_.put_commit(first));
  return store_.put_refs(id, {.branches = {{"main", first.repository.commit}}, .tags = {}, .checked = ""});
}

// A folder's model that is written to for the first time becomes one of the store: from then on its folder is not looked at.
Status Uploads::adopt(const std::string& id) {
  if (store_.has(id)) return {};
  const auto slash = id.find('/');
  auto repository = TRY(folders_.open(id.substr(0, slash), id.substr(slash + 1)));
  if (!repository.findings.empty()) return fail(ErrorCode::gate_refused, "the model does not pass the scan", fmt::format("{}", fmt::join(repository.findings, "\n")));
  TRY(make_folder(store_.incoming()));
  for (auto& file : repository.files) {
    const auto copy_of_it = store_.incoming() / ("adopt-" + to_hex(crypto::random_bytes(16)));
    const auto guarded = TRY(GuardedFile::open(file.location, file.identity));
    RandomAccessSource source(*guarded);
    const auto sink = TRY(AtomicFile::create(copy_of_it));
    TRY(copy(source, *sink));
    TRY(sink->commit_new());
    file = TRY(store_.keep(copy_of_it, file.path));
  }
  const std::string commit = repository.commit;
  TRY(store_.put_commit({.repository = std::move(repository), .parent = "", .title = "mirror", .message = "", .author = "mirror"}));
  return store_.put_refs(id, {.branches = {{"main", commit}}, .tags = {}, .checked = ""});
}

Result<RepositoryFile> Uploads::keep_bytes(ByteView bytes, const std::string& path) {
  TRY(make_folder(store_.incoming()));
  const auto file = store_.incoming() / ("file-" + to_hex(crypto::random_bytes(16)));
  TRY(write_file(file, bytes));
  return store_.keep(file, path);
}

Status Uploads::apply(const CommitOperation& operation, const std::string& id, Repository& repository) {
  auto& files = repository.files;
  const auto put = [&](RepositoryFile file) {
    std::erase_if(files, [&](const RepositoryFile& other) { return other.path == file.path; });
    files.push_back(std::move(file));
  };
  if (const auto* added = std::get_if<AddedFile>(&operation)) {
    put(TRY(keep_bytes(added->content, added->path)));
  } else if (const auto* large = std::get_if<AddedLargeFile>(&operation)) {
    // Whoever names a digest must have sent the bytes here, or they are the repository's own: a digest alone opens nothing.
    if (!has(id, large->sha256)) return fail(ErrorCode::invalid_argument, "a large file that was not sent", large->path);
    auto file = TRY(store_.look(large->sha256, large->path));
    if (large->size != 0 && large->size != file.size) return fail(ErrorCode::invalid_argument, "a large file of another size", large->path);
    put(std::move(file));
  } else if (const auto* removed = std::get_if<RemovedFile>(&operation)) {
    if (std::erase_if(files, [&](const RepositoryFile& file) { return file.path == removed->path; }) == 0) return fail(ErrorCode::not_found, "no such file", removed->path);
  } else {
    const auto& folder = std::get<RemovedFolder>(operation).path;
    std::erase_if(files, [&](const RepositoryFile& file) { return folder.empty() || file.path.starts_with(folder + "/"); });
  }
  return {};
}

Result<std::string> Uploads::commit(const std::string& id, const std::string& branch, const CommitRequest& request, const std::string& author) {
  const auto mutex = store_.lock_of(id);
  const std::scoped_lock lock(*mutex);
  TRY(adopt(id));
  auto refs = TRY(store_.refs(id));
  const auto at = refs.branches.find(branch);
  if (at == refs.branches.end()) return fail(ErrorCode::not_found, "no such branch", branch);
  if (request.parent && *request.parent != at->second) return fail(ErrorCode::unavailable, "the branch has another commit by now", branch);
  auto next = TRY(store_.commit(id, at->second));
  for (const auto& operation : request.operations) TRY(apply(operation, id, next.repository));
  auto& repository = next.repository;
  std::sort(repository.files.begin(), repository.files.end(), [](const RepositoryFile& a, const RepositoryFile& b) { return a.path < b.path; });
  if (repository.files.size() > kFilesMax) return fail(ErrorCode::limit_exceeded, "too many files", id);
  for (const auto& file : repository.files) {
    for (auto slash = file.path.find('/'); slash != file.path.npos; slash = file.path.find('/', slash + 1)) {
      if (std::ranges::binary_search(repository.files, file.path.substr(0, slash), {}, &RepositoryFile::path)) return fail(ErrorCode::invalid_argument, "a path that is a file and a folder", file.path.substr(0, slash));
    }
  }
  next.parent = at->second;
  next.title = request.summary;
  next.message = request.description;
  next.author = author;
  repository.modified = to_rfc3339(clock_.now());
  repository.commit = crypto::sha256(fmt::format("{} {} {}\n{}\n{}", next.parent, repository.modified, author, commit_of(repository.files), request.summary)).hex().substr(0, 40);
  const auto findings = repository.files.empty() ? std::vector<std::string>{} : TRY(scan_(repository));
  if (!findings.empty()) return fail(ErrorCode::gate_refused, "the commit does not pass the scan", fmt::format("{}", fmt::join(findings, "\n")));
  TRY(store_.put_commit(next));
  refs.branches[branch] = repository.commit;
  TRY(store_.put_refs(id, refs));
  return repository.commit;
}

Status Uploads::change_refs(const std::string& id, const std::function<Status(Refs&)>& body) {
  const auto mutex = store_.lock_of(id);
  const std::scoped_lock lock(*mutex);
  TRY(adopt(id));
  auto refs = TRY(store_.refs(id));
  TRY(body(refs));
  return store_.put_refs(id, refs);
}

Status Uploads::tag(const std::string& id, const std::string& name, const std::string& revision) {
  if (!is_ref_name(name)) return fail(ErrorCode::invalid_argument, "not a tag's name", name);
  return change_refs(id, [&](Refs& refs) -> Status {
    const auto commit = TRY(store_.resolve(id, revision));
    if (refs.tags.contains(name) || refs.branches.contains(name)) return fail(ErrorCode::already_exists, "the name is taken", name);
    refs.tags[name] = commit;
    return {};
  });
}

Status Uploads::untag(const std::string& id, const std::string& name) {
  return change_refs(id, [&](Refs& refs) -> Status { return refs.tags.erase(name) > 0 ? Status() : fail(ErrorCode::not_found, "no such tag", name); });
}

Status Uploads::branch(const std::string& id, const std::string& name, const std::string& revision) {
  if (!is_ref_name(name)) return fail(ErrorCode::invalid_argument, "not a branch's name", name);
  return change_refs(id, [&](Refs& refs) -> Status {
    const auto commit = TRY(store_.resolve(id, revision));
    if (refs.tags.contains(name) || refs.branches.contains(name)) return fail(ErrorCode::already_exists, "the name is taken", name);
    refs.branches[name] = commit;
    return {};
  });
}

Status Uploads::unbranch(const std::string& id, const std::string& name) {
  if (name == "main") return fail(ErrorCode::permission_denied, "the branch 'main' stays", name);
  return change_refs(id, [&](Refs& refs) -> Status { return refs.branches.erase(name) > 0 ? Status() : fail(ErrorCode::not_found, "no such branch", name); });
}

// --- large files

bool Uploads::has(const std::string& id, const Digest& oid) {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = sent_.find(id); found != sent_.end() && found->second.contains(oid)) return store_.has_blob(oid);
  }
  const auto refs = store_.has(id) ? store_.refs(id) : Result<Refs>(Refs{});
  if (!refs) return false;
  return std::any_of(refs->branches.begin(), refs->branches.end(), [&](const auto& branch) {
    const auto known = store_.commit(id, branch.second);
    return known && std::any_of(known->repository.files.begin(), known->repository.files.end(), [&](const RepositoryFile& file) { return file.sha256 == oid; });
  });
}

Digest Uploads::sign(const Ticket& ticket) const {
  return crypto::hmac_sha256(key_, view_of(fmt::format("{} {} {} {} {}", ticket.id, ticket.oid.hex(), ticket.size, ticket.part, ticket.expires)));
}

std::string Uploads::address_of(Ticket ticket) const {
  ticket.expires = seconds(clock_.now()) + kAddressSeconds;
  return fmt::format("/api/uploads/{}/{}/{}?size={}&expires={}&signature={}", ticket.id, ticket.oid.hex(), ticket.part, ticket.size, ticket.expires, sign(ticket).hex());
}

Result<Uploads::Ticket> Uploads::check(const std::vector<std::string>& segments, std::string_view query) const {
  const auto refuse = [] { return fail(ErrorCode::permission_denied, "not an address that this mirror gave out, or one that has ended"); };
  if (segments.size() != 6) return refuse();
  Ticket ticket;
  ticket.id = segments[2] + "/" + segments[3];
  ticket.oid = TRY(Digest::parse(segments[4]));
  ticket.size = TRY(number_of<std::uint64_t>(TRY(parameter(query, "size"))));
  ticket.part = TRY(number_of<std::uint64_t>(segments[5]));
  ticket.expires = TRY(number_of<std::int64_t>(TRY(parameter(query, "expires"))));
  const auto signature = TRY(Digest::parse(TRY(parameter(query, "signature"))));
  if (!equal_constant_time(signature.value, sign(ticket).value) || ticket.expires < seconds(clock_.now())) return refuse();
  if (ticket.size > kUploadBytesMax) return fail(ErrorCode::limit_exceeded, "a file is at most 160 GiB");
  return ticket;
}

fs::path Uploads::folder_of(const Ticket& ticket) const { return store_.incoming() / ("upload-" + crypto::sha256(ticket.id + " " + ticket.oid.hex()).hex().substr(0, 32)); }

Status Uploads::put_part(const Ticket& ticket, ByteView bytes) {
  const bool is_whole = ticket.part == 0;
  const std::uint64_t begin = is_whole ? 0 : (ticket.part - 1) * kPartBytes;
  const std::uint64_t expected = is_whole ? ticket.size : begin < ticket.size ? std::min(kPartBytes, ticket.size - begin) : 0;
  if (bytes.size() != expected || expected == 0) return fail(ErrorCode::invalid_argument, fmt::format("a part of {} bytes, not of {}", expected, bytes.size()));
  const auto folder = folder_of(ticket);
  TRY(make_folder(folder));
  return write_file(folder / fmt::format("{:05}", is_whole ? 1 : ticket.part), bytes);
}

Status Uploads::finish(const Ticket& ticket) {
  const auto folder = folder_of(ticket);
  const auto whole = folder / "whole";
  const std::uint64_t parts = std::max<std::uint64_t>((ticket.size + kPartBytes - 1) / kPartBytes, 1);
  const auto sink = TRY(AtomicFile::create(whole));
  for (std::uint64_t part = 1; part <= parts; ++part) {
    const auto reader = FileReader::open(folder / fmt::format("{:05}", part));
    if (!reader) return fail(ErrorCode::invalid_argument, fmt::format("part {} was not sent", part));
    TRY(copy(**reader, *sink));
  }
  TRY(sink->commit());
  const auto looked = TRY(look_at(whole, ticket.oid.hex() + ".bin"));
  const bool is_the_same = looked.sha256 == ticket.oid && looked.size == ticket.size;
  const auto kept = is_the_same ? store_.keep(whole, ticket.oid.hex() + ".bin") : fail(ErrorCode::tampered, "what was sent is not the file that was announced", ticket.oid.hex());
  std::error_code error;
  fs::remove_all(folder, error);
  if (!kept) return fail(kept.error());
  const std::scoped_lock lock(mutex_);
  sent_[ticket.id].insert(ticket.oid);
  return {};
}

}  // namespace redoubt::hub
