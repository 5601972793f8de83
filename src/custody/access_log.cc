// SPDX-License-Identifier: Apache-2.0
#include "custody/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::custody {
namespace {

constexpr const char* kAccessLogWhere = "access.log";
constexpr std::size_t kLineBytesMax = 4096;

Json to_json(const Access& access) {
  return {{"bytes", access.bytes}, {"command", access.command}, {"identity", access.identity}, {"n", access.number}, {"object", access.object}, {"time", to_rfc3339(access.time)}};
}

Result<Access> parse_access_fields(std::string_view line) {
  const auto json = TRY(parse_json(line, kAccessLogWhere, {.bytes_max = kLineBytesMax, .depth_max = 2}));
  const auto number = TRY(json_integer(json, "n", kAccessLogWhere)), bytes = TRY(json_integer(json, "bytes", kAccessLogWhere));
  if (number < 0 || bytes < 0) return fail(ErrorCode::tampered, "a number is negative", kAccessLogWhere);
  Access access;
  access.number = static_cast<std::uint64_t>(number);
  access.bytes = static_cast<std::uint64_t>(bytes);
  access.time = TRY(parse_rfc3339(TRY(json_string(json, "time", kAccessLogWhere))));
  access.identity = TRY(json_string(json, "identity", kAccessLogWhere));
  access.command = TRY(json_string(json, "command", kAccessLogWhere));
  access.object = TRY(json_string(json, "object", kAccessLogWhere));
  access.mac = TRY(json_string(json, "mac", kAccessLogWhere));
  return access;
}

// Lines of a file, each with where it ends; the last may lack its newline.
class LineReader {
 public:
  explicit LineReader(const RandomAccess& file) : source_(file) {}
  // False at the end. tampered for a line that is longer than any of ours.
  Result<bool> next(std::string& line, bool& whole) {
    while (true) {
      if (const auto end = buffer_.find('\n', at_); end != buffer_.npos) {
        line = buffer_.substr(at_, end - at_);
        at_ = end + 1;
        whole = true;
        return true;
      }
      buffer_.erase(0, at_);
      at_ = 0;
      if (buffer_.size() > kLineBytesMax) return fail(ErrorCode::tampered, "a line is longer than any that is written", kAccessLogWhere);
      Bytes chunk(64 << 10);
      const auto count = TRY(source_.read(chunk));
      if (count == 0) break;
      buffer_ += text_of(ByteView(chunk).first(count));
    }
    line = std::exchange(buffer_, {});
    whole = false;
    return !line.empty();
  }

 private:
  RandomAccessSource source_;
  std::string buffer_;
  std::size_t at_ = 0;
};

struct Tail {
  AccessHead head;
  std::uint64_t bytes = 0;  // of whole lines
};

// The last whole line, without reading the rest.
Result<Tail> read_tail(const RandomAccess& file) {
  const std::uint64_t start = file.size() > 2 * kLineBytesMax ? file.size() - 2 * kLineBytesMax : 0;
  Bytes bytes(static_cast<std::size_t>(file.size() - start));
  TRY(file.read_at(start, bytes));
  const std::string_view text = text_of(bytes);
  const auto last_newline = text.rfind('\n');
  if (last_newline == text.npos) {
    if (start > 0) return fail(ErrorCode::tampered, "a line is longer than any that is written", kAccessLogWhere);
    return Tail{};
  }
  const auto before = last_newline == 0 ? text.npos : text.rfind('\n', last_newline - 1);
  const auto from = before == text.npos ? 0 : before + 1;
  const auto access = TRY(parse_access(text.substr(from, last_newline - from)));
  return Tail{{access.number + 1, access.mac}, start + last_newline + 1};
}

}  // namespace

std::string access_mac(const Secret& key, std::string_view before, const Access& access) {
  return crypto::hmac_sha256(key, view_of(std::string(before) + "\n" + dump_json(to_json(access)))).hex();
}

std::string encode_access(const Access& access) {
  Json json = to_json(access);
  json["mac"] = access.mac;
  return dump_json(json);
}

Result<Access> parse_access(std::string_view line) {
  auto access = parse_access_fields(line);
  if (!access || encode_access(*access) != line) return fail(ErrorCode::tampered, "not a line of the access log", kAccessLogWhere);
  return access;
}

Status AccessLog::append(Access access) {
  const auto lock = TRY(FileLock::acquire(options_.file.string() + ".lock"));
  const Fd fd(::open(options_.file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, "open the access log", options_.file.string());
  const auto tail = TRY(read_tail(*TRY(FileReader::open(options_.file))));
  if (::ftruncate(fd.get(), static_cast<off_t>(tail.bytes)) != 0) return fail_errno(errno, "write the access log", options_.file.string());
  access.number = tail.head.entries;
  access.mac = access_mac(options_.key, tail.head.mac, access);
  const std::string line = encode_access(access) + "\n";
  if (line.size() > kLineBytesMax) return fail(ErrorCode::limit_exceeded, "a line of the access log would be too long", kAccessLogWhere);
  if (::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) return fail_errno(errno, "write the access log", options_.file.string());
  if (::fdatasync(fd.get()) != 0) return fail_errno(errno, "sync the access log", options_.file.string());
  return options_.head.write_json({{"entries", access.number + 1}, {"mac", access.mac}});
}

Result<AccessHead> AccessLog::head() const {
  if (!is_there(options_.file)) return AccessHead{};
  return TRY(read_tail(*TRY(FileReader::open(options_.file)))).head;
}

Status AccessLog::for_each(const std::function<void(const Access&)>& visit) const {
  if (!is_there(options_.file)) return {};
  const auto file = TRY(FileReader::open_regular(options_.file, Links::refuse));
  LineReader lines(*file);
  std::string line, before;
  bool whole = false;
  for (std::uint64_t number = 0; TRY(lines.next(line, whole)); ++number) {
    const auto wrong = [&](const char* what) { return fail(ErrorCode::tampered, fmt::format("line {} {}", number + 1, what), kAccessLogWhere); };
    if (!whole) return wrong("has no end");
    const auto access = parse_access(line);
    if (!access) return wrong("is not as it was written");
    if (access->number != number || access_mac(options_.key, before, *access) != access->mac) return wrong("does not follow from those before it");
    before = access->mac;
    visit(*access);
  }
  return {};
}

Problems AccessLog::verify(const AccessHead& anchored) const {
  Problems problems;
  const auto add = [&](const std::string& what) { problems.push_back({"access", kAccessLogWhere, what}); };
  AccessHead sealed;
  if (options_.head.exists()) {
    const auto json = options_.head.read_json();
    if (json) sealed = {static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_or(*json, "entries", std::int64_t{0}))), json_or(*json, "mac", "")};
    else add("its sealed head does not open: " + json.error().message);
  }
  std::uint64_t entries = 0;
  bool sealed_fits = sealed.entries == 0, anchor_fits = anchored.entries == 0;
  const auto read = for_each([&](const Access& access) {
    entries = access.number + 1;
    sealed_fits = sealed_fits || (entries == sealed.entries && access.mac == sealed.mac);
    anchor_fits = anchor_fits || (entries == anchored.entries && access.mac == anchored.mac);
  });
  if (!read) add(read.error().message);
  else if (!anchor_fits) add(fmt::format("it has {} lines; the ledger has seen {}", entries, anchored.entries));
  else if (!sealed_fits) add(fmt::format("its end was cut off or changed: {} lines, and {} were written", entries, sealed.entries));
  else if (entries > 0 && !options_.head.exists()) add("its sealed head is missing");
  return problems;
}

Status AccessRecorder::record(const std::string& object, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::string key = step_ + "\n" + object;
  if (seen_.contains(key)) return {};
  TRY(log_.append({0, clock_.now(), identity_, step_.empty() ? command_ : command_ + ": " + step_, object, bytes, ""}));
  seen_.insert(key);
  return {};
}

void AccessRecorder::step(const std::string& name) {
  const std::lock_guard lock(mutex_);
  step_ = name;
}

}  // namespace redoubt::custody
