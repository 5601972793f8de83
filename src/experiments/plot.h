// SPDX-License-Identifier: Apache-2.0
//
// Curves over training steps: for a terminal, and as an SVG file that stands alone. Points that are no finite numbers are left out.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace redoubt::experiments {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // step, value; in order
};

enum class Characters { braille, ascii };

struct TerminalPlotOptions {
  int columns = 64;  // of the field, in characters
  int rows = 12;
  Characters characters = Characters::braille;
};
// The field with its limits and a line that names the curves; empty where no curve has a point.
std::string terminal_plot(const std::vector<Curve>& curves, const TerminalPlotOptions& options);

// Legible on a light and a dark ground, no script, nothing loaded from elsewhere. `unit` names the vertical axis.
std::string svg_plot(const std::vector<Curve>& curves, const std::string& title, const std::string& unit);

}  // namespace redoubt::experiments
