// SPDX-License-Identifier: Apache-2.0
//
// What the guards add to a stream: takes a file with `deploy.guards` as JSON; each line of stdin is a JSON array of the pieces of an answer. Says
// how long each piece took, and whether the answer is that of the whole text.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "base/file.h"
#include "guards/guards.h"

using namespace redoubt;

namespace {

double at_share(const std::vector<double>& sorted, double share) { return sorted.empty() ? 0 : sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(share * static_cast<double>(sorted.size())))]; }

struct Measured {
  std::vector<double> pieces_us, ends_us;
  std::size_t held_most = 0, hits = 0, differing = 0;
};

void measure(const guards::Guards& guards, const std::vector<std::string>& pieces, Measured& out) {
  using Clock = std::chrono::steady_clock;
  const auto us = [](Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); };
  auto filter = guards.answer();
  std::string told, whole;
  for (const auto& piece : pieces) {
    const auto begin = Clock::now();
    auto known = filter.take(piece);
    out.pieces_us.push_back(us(Clock::now() - begin));
    told += known;
    whole += piece;
    out.held_most = std::max(out.held_most, whole.size() - std::min(whole.size(), told.size()));
  }
  const auto begin = Clock::now();
  told += filter.end();
  out.ends_us.push_back(us(Clock::now() - begin));
  out.hits += filter.take_hits().size();
  auto at_once = guards.answer();
  std::string expected = at_once.take(whole);
  expected += at_once.end();
  out.differing += told != expected;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto options = guards::read_guards(parse_json(read_text_file(argv[1]).value(), argv[1]).value()).value();
  const auto guards = guards::Guards::create(options).value();
  Measured out;
  for (std::string line; std::getline(std::cin, line);) measure(*guards, parse_json(line, "stdin").value().get<std::vector<std::string>>(), out);
  std::sort(out.pieces_us.begin(), out.pieces_us.end());
  std::sort(out.ends_us.begin(), out.ends_us.end());
  double sum = 0;
  for (const double one : out.pieces_us) sum += one;
  const Json answer = {{"pieces", out.pieces_us.size()}, {"mean_us", sum / static_cast<double>(std::max<std::size_t>(out.pieces_us.size(), 1))},
                       {"p50_us", at_share(out.pieces_us, 0.5)}, {"p99_us", at_share(out.pieces_us, 0.99)}, {"p999_us", at_share(out.pieces_us, 0.999)}, {"max_us", at_share(out.pieces_us, 1)},
                       {"end_p99_us", at_share(out.ends_us, 0.99)}, {"hits", out.hits}, {"differing", out.differing}, {"held_most_bytes", out.held_most}};
  std::cout << answer.dump() << "\n";
  return out.differing == 0 ? 0 : 1;
}
