// SPDX-License-Identifier: Apache-2.0
#include "cli/prompt.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"

namespace redoubt::cli {
namespace {

constexpr std::size_t kSecretBytesMax = 64 << 10;

// Turns the terminal's echo off for as long as it lives.
class NoEcho {
 public:
  explicit NoEcho(int fd) : fd_(fd) {
    if (::tcgetattr(fd_, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = ::tcsetattr(fd_, TCSAFLUSH, &quiet) == 0;
  }
  ~NoEcho() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }

 private:
  int fd_;
  termios before_{};
  bool changed_ = false;
};

Result<Secret> checked(Bytes bytes, const std::string& where) {
  if (!bytes.empty() && bytes.back() == '\n') bytes.pop_back();
  if (!bytes.empty() && bytes.back() == '\r') bytes.pop_back();
  if (bytes.empty()) return fail(ErrorCode::invalid_argument, "the secret is empty", where);
  return Secret(std::move(bytes));
}

Result<Bytes> read_to_end(int fd, bool one_line) {
  Bytes bytes;
  std::uint8_t byte = 0;
  while (true) {
    const ssize_t count = ::read(fd, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read", "standard input");
    if (count == 0) return bytes;
    if (bytes.size() >= kSecretBytesMax) return fail(ErrorCode::limit_exceeded, "the secret is longer than 64 KiB", "standard input");
    bytes.push_back(byte);
    if (one_line && byte == '\n') return bytes;
  }
}

}  // namespace

Result<Secret> read_secret(const std::string& what) {
  if (::isatty(STDIN_FILENO) != 1) return checked(TRY(read_to_end(STDIN_FILENO, false)), "standard input");
  std::fprintf(stderr, "%s: ", what.c_str());
  NoEcho quiet(STDIN_FILENO);
  auto bytes = read_to_end(STDIN_FILENO, true);
  std::fputc('\n', stderr);
  return checked(TRY(std::move(bytes)), what);
}

Result<Secret> read_secret_file(const std::filesystem::path& file) { return checked(TRY(read_file(file, kSecretBytesMax)), file.string()); }

}  // namespace redoubt::cli
