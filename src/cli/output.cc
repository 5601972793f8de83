// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/terminal.h"

namespace redoubt::cli {
namespace {

// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Why standard output failed first; 0: not yet.
int& output_problem() {
  static int first = 0;
  return first;
}

void print(std::FILE* stream, std::string text) {
  if (!text.ends_with('\n')) text.push_back('\n');
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stream) == text.size() && std::fflush(stream) == 0;
  if (!written && stream == stdout && output_problem() == 0) output_problem() = errno == 0 ? EIO : errno;
}

bool is_broken_pipe(int fd) {
  pollfd end{fd, POLLOUT, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & POLLERR) != 0;
}

}  // namespace

void hold_standard_streams() {
  // Each one the wrong way round, so that using it is the error that it was.
  constexpr std::array kModes = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)::open("/dev/null", kModes[static_cast<std::size_t>(fd)]);
  }
}

Status finish_output() {
  errno = 0;
  if (std::fflush(stdout) != 0 && output_problem() == 0) output_problem() = errno;
  if (output_problem() == 0 && std::ferror(stdout) != 0) output_problem() = EIO;  // of what was written past these
  if (output_problem() == 0 || output_problem() == EPIPE || is_broken_pipe(STDOUT_FILENO)) return {};
  return fail(ErrorCode::unavailable, std::string("cannot write to standard output: ") + std::strerror(output_problem()), {}, "what the command did stands; what it had to say is lost, in whole or in part");
}

int exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 2;
    case ErrorCode::gate_refused: return 3;
    case ErrorCode::tampered: return 4;
    case ErrorCode::permission_denied: return 5;
    case ErrorCode::waiting: return 6;
    case ErrorCode::undecided: return 7;
    default: return 1;
  }
}

std::string render(const Table& table) {
  std::vector<std::size_t> widths;
  const auto measure = [&](const std::vector<std::string>& row) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  };
  measure(table.columns);
  for (const auto& row : table.rows) measure(row);
  std::string out;
  const auto write = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    out.push_back('\n');
  };
  write(table.columns);
  for (const auto& row : table.rows) write(row);
  return out;
}

void Output::result(const Json& value, const std::string& text) const {
  print(stdout, json_ ? value.dump(2, ' ', false, Json::error_handler_t::replace) : without_control_characters(text));
}

void Output::value(const std::string& text) const { print(stdout, ::isatty(STDOUT_FILENO) == 1 ? without_control_characters(text) : text); }

void Output::say(const std::string& line) const { print(stderr, without_control_characters(line)); }

int Output::error(const Error& error) const {
  if (json_) {
    result({{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"where", error.where}, {"hint", error.hint}}}}, "");
  }
  std::string text = "redoubt: " + error.message;
  if (!error.where.empty()) text += "\n  where: " + error.where;
  if (!error.hint.empty()) text += "\n  hint:  " + error.hint;
  say(text);
  return exit_code_of(error.code);
}

}  // namespace redoubt::cli
