// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <fmt/format.h>

#include <cctype>

namespace redoubt {

TimePoint SystemClock::now() const { return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()); }

std::string to_rfc3339(TimePoint time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  // By hand: each request's log line has one.
  std::string text = "0000-00-00T00:00:00.000Z";
  const auto write = [&](std::size_t end, std::size_t digits, std::int64_t value) {
    for (; digits > 0; --digits, value /= 10) text[--end] = static_cast<char>('0' + value % 10);
  };
  write(7, 2, static_cast<unsigned>(date.month()));
  write(10, 2, static_cast<unsigned>(date.day()));
  write(13, 2, clock.hours().count());
  write(16, 2, clock.minutes().count());
  write(19, 2, clock.seconds().count());
  write(23, 3, clock.subseconds().count());
  const auto year = static_cast<int>(date.year());
  if (year < 0 || year > 9999) return fmt::format("{:04}{}", year, text.substr(4));
  write(4, 4, year);
  return text;
}

Result<TimePoint> parse_rfc3339(std::string_view text) {
  const auto bad = [] { return fail(ErrorCode::invalid_argument, "not an RFC 3339 time in UTC, such as 2026-01-31T08:00:00Z"); };
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() < kShape.size() + 1 || text.back() != 'Z') return bad();
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    const bool digit = std::isdigit(static_cast<unsigned char>(text[i])) != 0;
    if (kShape[i] == '0' ? !digit : text[i] != kShape[i]) return bad();
  }
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (std::size_t i = at; i < at + digits; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  int milliseconds = 0;
  auto fraction = text.substr(kShape.size(), text.size() - kShape.size() - 1);
  if (!fraction.empty()) {
    if (fraction[0] != '.' || fraction.size() < 2) return bad();
    int scale = 100;
    for (char c : fraction.substr(1)) {
      if (!std::isdigit(static_cast<unsigned char>(c))) return bad();
      milliseconds += (c - '0') * scale;
      scale /= 10;
    }
  }
  const std::chrono::year_month_day date{std::chrono::year{number(0, 4)}, std::chrono::month(number(5, 2)),
                                         std::chrono::day(number(8, 2))};
  if (!date.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 60) return bad();
  return TimePoint{std::chrono::sys_days{date}} + std::chrono::hours{number(11, 2)} + std::chrono::minutes{number(14, 2)} +
         std::chrono::seconds{number(17, 2)} + std::chrono::milliseconds{milliseconds};
}

}  // namespace redoubt
