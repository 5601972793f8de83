// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "provider/aws/api/credential_sources.h"

extern char** environ;

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kOutputBytesMax = 64 << 10;
constexpr int kSecondsMax = 120;  // it may ask a person for a code

// Splits as a POSIX shell does: blanks, both quotes, backslashes; nothing is expanded.
Result<std::vector<std::string>> words_of(const std::string& command, const std::string& where) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t at = 0; at < command.size(); ++at) {
    const char c = command[at];
    const bool escapes = c == '\\' && quote != '\'' && at + 1 < command.size() && (quote == '\0' || std::strchr("\"\\", command[at + 1]) != nullptr);
    if (escapes) {
      word += command[++at];
      in_word = true;
    } else if (quote != '\0' ? c == quote : c == '"' || c == '\'') {
      quote = quote == '\0' ? c : '\0';
      in_word = true;
    } else if (quote == '\0' && std::isspace(static_cast<unsigned char>(c))) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') return fail(ErrorCode::invalid_argument, "credential_process has a quote without its end", where);
  if (in_word) words.push_back(word);
  if (words.empty()) return fail(ErrorCode::invalid_argument, "credential_process is empty", where);
  return words;
}

Result<pid_t> start(const std::vector<std::string>& words, int out, const std::string& where) {
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed == 0) return pid;
  return fail(ErrorCode::permission_denied, fmt::format("credential_process can't be started: {}", std::strerror(failed)), where, "check the command's path");
}

// Whatever it writes until it closes its output.
Result<std::string> read_output(int fd, const std::string& where) {
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + std::chrono::seconds(kSecondsMax);
  std::string out;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Steady::now()).count();
    pollfd waiting{fd, POLLIN, 0};
    const int ready = left > 0 ? poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return fail(ErrorCode::unavailable, fmt::format("credential_process has not answered in {} s", kSecondsMax), where);
    char buffer[4096];
    const auto count = read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return out;
    out.append(buffer, static_cast<std::size_t>(count));
    if (out.size() > kOutputBytesMax) return fail(ErrorCode::limit_exceeded, "credential_process writes more than 64 KiB", where);
  }
}

Result<std::string> output_of(const std::string& command, const std::string& where) {
  const auto words = TRY(words_of(command, where));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "making a pipe", where);
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const auto pid = TRY(start(words, to.get(), where));
  to.reset();
  auto out = read_output(from.get(), where);
  if (!out) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!out) return out;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return out;
  wipe_memory({reinterpret_cast<std::uint8_t*>(out->data()), out->size()});
  return fail(ErrorCode::permission_denied, fmt::format("credential_process failed (exit {})", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)), where, "run the command by hand to see why");
}

Result<Credentials> run(const std::string& command, const std::string& where) {
  auto out = TRY(output_of(command, where));
  auto json = parse_json(out, "the output of credential_process", {.bytes_max = kOutputBytesMax, .depth_max = 8});
  wipe_memory({reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  if (!json || json_or(*json, "Version", std::int64_t{0}) != 1) {
    return fail(ErrorCode::permission_denied, "credential_process does not write the JSON of version 1", where, "it has to write {\"Version\": 1, \"AccessKeyId\": ..., \"SecretAccessKey\": ...}");
  }
  auto credentials = credentials_of_json(*json, "SessionToken", "credential_process");
  if (!credentials) credentials.error().where = where;
  return credentials;
}

}  // namespace

CredentialSource process_source(std::string command, std::string where) {
  return [command = std::move(command), where = std::move(where)]() { return run(command, where); };
}

}  // namespace redoubt::provider::aws
