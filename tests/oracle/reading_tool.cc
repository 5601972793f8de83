// SPDX-License-Identifier: Apache-2.0
//
// What the guards make of what a model says of prompts, for tests in other languages: takes a file with `deploy.guards` as JSON and prints the
// sentences that have to be embedded. The first line of stdin is a JSON list of their embeddings; each that follows is a JSON list of texts, answered
// with their pieces, or a list of {"tokens", "embedding", "window_nats"?}, answered with {"hits": [[group, kind]], "cosines": [of each topic]} of each.
#include <iostream>

#include "base/file.h"
#include "guards/guards.h"
#include "guards/reading.h"

using namespace redoubt;

namespace {

Json judged(const guards::ReadingOptions& options, const guards::Topics& topics, const Json& piece) {
  guards::PieceRead read{piece["tokens"], piece["embedding"].get<std::vector<float>>(), {}};
  if (piece.contains("window_nats")) read.window_nats = piece["window_nats"].get<double>();
  Json hits = Json::array(), cosines = Json::array();
  for (const auto& hit : guards::judge(options, &topics, read)) hits.push_back({hit.group, hit.kind});
  for (const auto& near : topics.look(read.embedding)) cosines.push_back(near.cosine);
  return {{"hits", hits}, {"cosines", cosines}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto options = guards::read_guards(parse_json(read_text_file(argv[1]).value(), argv[1]).value()).value().reading;
  std::cout << Json(guards::Topics::sentences(options)).dump() << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const auto topics = guards::Topics::create(options, Json::parse(line).get<std::vector<std::vector<float>>>()).value();
  while (std::getline(std::cin, line)) {
    Json answers = Json::array();
    for (const auto& one : Json::parse(line)) answers.push_back(one.is_string() ? Json(guards::pieces_of(one.get<std::string>())) : judged(options, topics, one));
    std::cout << answers.dump() << std::endl;
  }
  return 0;
}
