// SPDX-License-Identifier: Apache-2.0
//
// Values that both kinds of recipe take.
#include <fmt/format.h>

#include <charconv>
#include <set>

#include "base/lower_case.h"
#include "stages/image/recipe/build.h"

namespace redoubt::stages::image::recipe {
namespace {

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

Result<unsigned> parse_mode(const std::string& text) {
  unsigned mode = 0;
  const bool digits = (text.size() == 3 || text.size() == 4) && text.find_first_not_of("01234567") == text.npos;
  if (!digits) return fail(ErrorCode::invalid_argument, "not a mode: " + text.substr(0, 40), "mode", "write it in octal: 755 or 0644");
  std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  return mode;
}

Result<std::vector<std::string>> parse_ports(const std::string& text) {
  const auto bad = [&] { return fail(ErrorCode::invalid_argument, "not a port: " + text.substr(0, 40), "port", "write it as 8080, 8080/tcp or 8000-8010/udp"); };
  const auto slash = text.find('/');
  const std::string protocol = slash == text.npos ? "tcp" : lower_case(text.substr(slash + 1)), range = text.substr(0, slash);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") return bad();
  const auto dash = range.find('-');
  const auto first = number(range.substr(0, dash)), last = dash == range.npos ? first : number(range.substr(dash + 1));
  if (!first || !last || *first < 1 || *last > 65535 || *last < *first) return bad();
  std::vector<std::string> ports;
  for (int port = *first; port <= *last; ++port) ports.push_back(fmt::format("{}/{}", port, protocol));
  return ports;
}

bool is_number_of_root(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return false;
  const auto value = number(text);
  return !value || *value == 0;
}

Status check_user(const std::string& text) {
  const auto colon = text.find(':');
  const std::string user = text.substr(0, colon), group = colon == text.npos ? "" : text.substr(colon + 1);
  if (user.empty() || (colon != text.npos && group.empty()) || group.find(':') != group.npos || text.find_first_of(" \t") != text.npos) {
    return fail(ErrorCode::invalid_argument, "not USER[:GROUP]: " + text.substr(0, 60), "user", "write it as 65532 or 65532:65532");
  }
  for (const auto& part : {user, group}) {
    if (is_number_of_root(part) && !number(part)) return fail(ErrorCode::invalid_argument, "a number that no user has: " + part.substr(0, 60), "user", "write one of at most 2147483647; runtimes have taken larger ones for root's");
  }
  return {};
}

Status check_signal(const std::string& text) {
  static const std::set<std::string> kSignals = {"HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
                                                 "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS"};
  if (const auto value = number(text); value && *value >= 1 && *value <= 64) return {};
  std::string name = text.starts_with("SIG") ? text.substr(3) : text;
  if (name.starts_with("RTMIN+") || name.starts_with("RTMAX-")) {
    if (const auto offset = number(name.substr(6)); offset && *offset <= 15) return {};
  }
  if (name == "RTMIN" || name == "RTMAX" || kSignals.contains(name)) return {};
  return fail(ErrorCode::invalid_argument, "not a signal: " + text.substr(0, 40), "stop signal", "write it as SIGTERM or 15");
}

Result<Recipe> read_recipe(const BuildInput& input, Progress& progress) {
  const std::string ending = input.recipe.extension().string();
  return ending == ".yaml" || ending == ".yml" ? read_declaration(input, progress) : read_dockerfile(input, progress);
}

}  // namespace redoubt::stages::image::recipe
