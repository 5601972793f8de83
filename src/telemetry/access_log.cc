// SPDX-License-Identifier: Apache-2.0
#include "telemetry/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "base/write_all.h"

namespace redoubt::telemetry {
namespace {

Result<std::pair<Fd, std::uint64_t>> open_log(const std::filesystem::path& file) {
  Fd opened(::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (opened.get() < 0) return fail_errno(errno, "opening the access log", file.string());
  struct stat facts = {};
  if (::fstat(opened.get(), &facts) != 0) return fail_errno(errno, "looking at the access log", file.string());
  if (!S_ISREG(facts.st_mode)) return fail(ErrorCode::invalid_argument, "the access log is no file", file.string());
  auto bytes = static_cast<std::uint64_t>(facts.st_size);
  char last = '\n';
  if (bytes > 0 && ::pread(opened.get(), &last, 1, facts.st_size - 1) != 1) return fail_errno(errno, "reading the access log", file.string());
  if (last != '\n') {  // what a power cut tore stays a line of its own
    if (!append_all(opened.get(), view_of("\n"))) return fail_errno(errno, "writing the access log", file.string());
    ++bytes;
  }
  return std::pair(std::move(opened), bytes);
}

}  // namespace

std::string to_access_line(const RequestRecord& record) {
  std::string line;
  line.reserve(512);
  JsonWriter json(line);
  const bool generated = !record.operation.empty();
  json.begin_object();
  if (generated) {
    json.member("cached_tokens").integer(record.reused_tokens);
    json.member("completion_tokens").integer(record.completion_tokens);
  }
  json.member("duration_ms").integer((record.ended - record.begun).count());
  if (generated && !record.finish_reason.empty()) json.member("finish_reason").text(record.finish_reason);
  if (generated && record.first_token_ms >= 0) json.member("first_token_ms").integer(record.first_token_ms);
  json.member("id").text(record.id);
  json.member("key").text(record.key_id);
  json.member("method").text(record.method);
  if (generated) {
    json.member("model").text(record.model);
    json.member("prompt_tokens").integer(record.prompt_tokens);
  }
  json.member("route").text(record.route);
  json.member("status").integer(record.status);
  json.member("tenant").text(record.tenant);
  json.member("time").text(to_rfc3339(record.begun));
  json.member("trace").text(record.trace.trace_id);
  json.end_object();
  return line += '\n';
}

Result<std::unique_ptr<AccessLog>> AccessLog::create(AccessLogOptions options) {
  if (options.files < 1 || options.bytes_max < 1024) return fail(ErrorCode::invalid_argument, "an access log has at least one file of at least 1024 bytes", options.file.string());
  auto opened = TRY(open_log(options.file));
  return std::unique_ptr<AccessLog>(new AccessLog(std::move(options), std::move(opened.first), opened.second));
}

AccessLog::AccessLog(AccessLogOptions options, Fd file, std::uint64_t bytes)
    : options_(std::move(options)), file_(std::move(file)), bytes_(bytes), queue_(options_.queue, [this](const auto& lines) { write(lines); }, options_.on_lost) {}

void AccessLog::write(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line;
  const auto written = write_text(text);
  if (!written && options_.on_lost) options_.on_lost(lines.size());
  if (!written && !failed_) spdlog::error("the access log can't be written: {} ({})", written.error().message, written.error().where);
  if (written && failed_) spdlog::info("the access log is written again");
  failed_ = !written;
}

Status AccessLog::write_text(const std::string& text) {
  if (bytes_ > 0 && bytes_ + text.size() > options_.bytes_max) TRY(turn_over());
  if (!append_all(file_.get(), view_of(text))) return fail_errno(errno, "writing the access log", options_.file.string());
  bytes_ += text.size();
  return {};
}

Status AccessLog::turn_over() {
  const auto numbered = [&](int number) { return number == 0 ? options_.file : std::filesystem::path(options_.file.string() + "." + std::to_string(number)); };
  std::error_code error;
  for (int number = options_.files - 1; number > 0; --number) {
    std::filesystem::rename(numbered(number - 1), numbered(number), error);
    if (error && error != std::errc::no_such_file_or_directory) return fail(ErrorCode::unavailable, "the access log can't be turned over: " + error.message(), options_.file.string());
  }
  if (options_.files == 1) std::filesystem::remove(options_.file, error);
  auto opened = TRY(open_log(options_.file));
  file_ = std::move(opened.first);
  bytes_ = opened.second;
  return {};
}

}  // namespace redoubt::telemetry
