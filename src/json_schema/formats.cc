// SPDX-License-Identifier: Apache-2.0
#include "json_schema/formats.h"

#include <map>

namespace redoubt::json_schema {
namespace {

// RFC 3339, of the years 1000 to 9999 and without leap seconds, which many readers refuse.
std::string date() {
  const std::string leap_year = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)";
  return "(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" + leap_year + "-02-29)";
}

std::string time() {
  const std::string minute = "(?:[01][0-9]|2[0-3]):[0-5][0-9]";
  return minute + ":[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]" + minute + ")";
}

// RFC 3339, appendix A, of up to 9 digits each.
std::string duration() {
  const auto amount = [](char unit) { return std::string("[0-9]{1,9}") + unit; };
  const std::string seconds = amount('S'), minutes = amount('M') + "(?:" + seconds + ")?", hours = amount('H') + "(?:" + minutes + ")?";
  const std::string days = amount('D'), months = amount('M') + "(?:" + days + ")?", years = amount('Y') + "(?:" + months + ")?";
  const std::string of_day = "T(?:" + hours + "|" + minutes + "|" + seconds + ")";
  return "P(?:(?:" + years + "|" + months + "|" + days + ")(?:" + of_day + ")?|" + of_day + "|" + amount('W') + ")";
}

// RFC 1123, of four labels at most.
std::string hostname() {
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,60}[A-Za-z0-9])?";
  return label + "(?:\\." + label + "){0,3}";
}

std::string ipv4() {
  const std::string byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  return byte + "(?:\\." + byte + "){3}";
}

// RFC 4291 with groups alone; two colons stand for at least one.
std::string ipv6() {
  const std::string group = "[0-9A-Fa-f]{1,4}";
  const auto times = [](const std::string& part, int most) { return "(?:" + part + "){1," + std::to_string(most) + "}"; };
  std::string all = "(?:" + group + ":){7}" + group + "|" + times(group + ":", 7) + ":|::|:" + times(":" + group, 7);
  for (int before = 1; before <= 6; ++before) all += "|(?:" + group + ":){" + std::to_string(before) + "}" + times(":" + group, 7 - before);
  return all;
}

// RFC 5321's Dot-string before a host's name of several labels.
std::string email() {
  const std::string atom = "[A-Za-z0-9_+-]{1,20}", label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,60}[A-Za-z0-9])?";
  return atom + "(?:\\." + atom + "){0,2}@" + label + "(?:\\." + label + "){1,2}";
}

}  // namespace

std::optional<std::string> pattern_of_format(std::string_view name) {
  static const std::map<std::string_view, std::string> kPatterns = {
      {"date", date()},         {"time", time()}, {"date-time", date() + "T" + time()}, {"duration", duration()}, {"email", email()},
      {"hostname", hostname()}, {"ipv4", ipv4()}, {"ipv6", ipv6()},                     {"uuid", "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"}};
  const auto found = kPatterns.find(name);
  if (found == kPatterns.end()) return std::nullopt;
  return "^(?:" + found->second + ")$";
}

}  // namespace redoubt::json_schema
