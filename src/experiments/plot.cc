// SPDX-License-Identifier: Apache-2.0
#include "experiments/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace redoubt::experiments {
namespace {

// Where the curves lie; a single point or a level line still gets room around it.
struct Bounds {
  double left = std::numeric_limits<double>::infinity(), right = -left, low = left, high = -left;
  bool empty() const { return left > right; }
  double across(double x) const { return (x - left) / (right - left); }
  double up(double y) const { return (y - low) / (high - low); }
};

bool is_finite(const std::pair<double, double>& point) { return std::isfinite(point.first) && std::isfinite(point.second); }

Bounds bounds_of(const std::vector<Curve>& curves) {
  Bounds bounds;
  for (const auto& curve : curves) {
    for (const auto& point : curve.points) {
      if (!is_finite(point)) continue;
      bounds.left = std::min(bounds.left, point.first), bounds.right = std::max(bounds.right, point.first);
      bounds.low = std::min(bounds.low, point.second), bounds.high = std::max(bounds.high, point.second);
    }
  }
  if (bounds.empty()) return bounds;
  if (bounds.right == bounds.left) bounds.right += 1;
  if (bounds.high == bounds.low) {
    const double room = std::max(std::abs(bounds.high) * 0.1, 1e-6);
    bounds.high += room, bounds.low -= room;
  }
  return bounds;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out.push_back(c);
  }
  return out;
}

// Dots of the terminal's field, two across and four down to a character.
class Field {
 public:
  explicit Field(const TerminalPlotOptions& options)
      : options_(options), cells_(static_cast<std::size_t>(options.columns) * static_cast<std::size_t>(options.rows)) {}

  void set(double across, double up) {
    const int x = static_cast<int>(std::lround(across * (options_.columns * 2 - 1)));
    const int y = static_cast<int>(std::lround((1 - up) * (options_.rows * 4 - 1)));
    static constexpr unsigned char kDots[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};  // Unicode's order of braille dots
    cells_[static_cast<std::size_t>(y / 4 * options_.columns + x / 2)] |= kDots[y % 4][x % 2];
  }
  std::string row(int index) const {
    std::string line;
    for (int column = 0; column < options_.columns; ++column) {
      const unsigned dots = cells_[static_cast<std::size_t>(index * options_.columns + column)];
      if (options_.characters == Characters::ascii) line += dots == 0 ? ' ' : '*';
      else if (dots == 0) line += ' ';
      else line += {'\xe2', static_cast<char>(0xa0 | dots >> 6), static_cast<char>(0x80 | (dots & 0x3f))};
    }
    return line;
  }

 private:
  const TerminalPlotOptions& options_;
  std::vector<unsigned char> cells_;
};

void draw(Field& field, const Curve& curve, const Bounds& bounds, int fineness) {
  const std::pair<double, double>* last = nullptr;
  for (const auto& point : curve.points) {
    if (!is_finite(point)) continue;
    const auto& from = last != nullptr ? *last : point;
    for (int i = 0; i <= fineness; ++i) {
      const double part = static_cast<double>(i) / fineness;
      field.set(bounds.across(std::lerp(from.first, point.first, part)), bounds.up(std::lerp(from.second, point.second, part)));
    }
    last = &point;
  }
}

constexpr int kWidth = 800, kHeight = 440, kLeft = 70, kRight = 780, kTop = 40, kBottom = 370;
constexpr int kTicks = 5;
constexpr int kColours = 6;

std::string axes(const Bounds& bounds, const std::string& unit) {
  std::string out = fmt::format("<path class=\"axis\" d=\"M{} {}V{}H{}\"/>\n", kLeft, kTop, kBottom, kRight);
  for (int i = 0; i <= kTicks; ++i) {
    const double part = static_cast<double>(i) / kTicks, x = std::lerp(kLeft, kRight, part), y = std::lerp(kBottom, kTop, part);
    out += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/>\n", kLeft, y, kRight);
    out += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n", kLeft - 8, y + 4, std::lerp(bounds.low, bounds.high, part));
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>\n", x, kBottom + 18, std::lerp(bounds.left, bounds.right, part));
  }
  out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">step</text>\n", (kLeft + kRight) / 2, kBottom + 36);
  out += fmt::format("<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n", (kTop + kBottom) / 2, escaped(unit));
  return out;
}

std::string line(const Curve& curve, const Bounds& bounds, int colour) {
  std::string points;
  for (const auto& point : curve.points) {
    if (!is_finite(point)) continue;
    points += fmt::format("{:.1f},{:.1f} ", std::lerp(kLeft, kRight, bounds.across(point.first)), std::lerp(kBottom, kTop, bounds.up(point.second)));
  }
  return fmt::format("<polyline class=\"c{}\" points=\"{}\"><title>{}</title></polyline>\n", colour, points, escaped(curve.name));
}

constexpr const char* kStyle =
    "<style>svg{background:#fff}text{font:12px sans-serif;fill:#222}.axis{stroke:#222;fill:none}.grid{stroke:#8884}polyline{fill:none;stroke-width:1.6}"
    ".c0{stroke:#1f6fc4}.c1{stroke:#d2691e}.c2{stroke:#2a8f4a}.c3{stroke:#b0357f}.c4{stroke:#7a5cc0}.c5{stroke:#8a7400}"
    "@media (prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ddd}.axis{stroke:#ddd}"
    ".c0{stroke:#6cb0ff}.c1{stroke:#ff9f5a}.c2{stroke:#6fd08c}.c3{stroke:#f07fc0}.c4{stroke:#b39cff}.c5{stroke:#d8c24a}}</style>\n";

}  // namespace

std::string terminal_plot(const std::vector<Curve>& curves, const TerminalPlotOptions& options) {
  const Bounds bounds = bounds_of(curves);
  if (bounds.empty()) return "";
  Field field(options);
  for (const auto& curve : curves) draw(field, curve, bounds, options.columns * 2 + options.rows * 4);
  std::string out, names;
  for (int row = 0; row < options.rows; ++row) {
    const std::string limit = row == 0 ? fmt::format("{:.4g}", bounds.high) : row == options.rows - 1 ? fmt::format("{:.4g}", bounds.low) : "";
    out += fmt::format("{:>10} |{}\n", limit, field.row(row));
  }
  for (const auto& curve : curves) names += (names.empty() ? "" : ", ") + curve.name;
  return out + fmt::format("{:>10} +{}\n{:>11}step {:.6g} to {:.6g}: {}\n", "", std::string(static_cast<std::size_t>(options.columns), '-'), "", bounds.left,
                           bounds.right, names);
}

std::string svg_plot(const std::vector<Curve>& curves, const std::string& title, const std::string& unit) {
  const Bounds bounds = bounds_of(curves);
  const int height = kHeight + 18 * static_cast<int>(curves.size());
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\">\n<title>{}</title>\n{}", kWidth, height, escaped(title), kStyle);
  out += fmt::format("<text x=\"{}\" y=\"24\">{}</text>\n", kLeft, escaped(title));
  if (!bounds.empty()) out += axes(bounds, unit);
  int index = 0;
  for (const auto& curve : curves) {
    const int y = kHeight - 12 + 18 * index;
    if (!bounds.empty()) out += line(curve, bounds, index % kColours);
    out += fmt::format("<polyline class=\"c{}\" points=\"{},{} {},{}\"/><text x=\"{}\" y=\"{}\">{}</text>\n", index % kColours, kLeft, y, kLeft + 24, y, kLeft + 32, y + 4,
                       escaped(curve.name));
    ++index;
  }
  return out + "</svg>\n";
}

}  // namespace redoubt::experiments
