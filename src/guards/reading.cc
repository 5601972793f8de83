// SPDX-License-Identifier: Apache-2.0
#include "guards/reading.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace redoubt::guards {
namespace {

constexpr std::size_t kPieceBytes = 400, kSharedBytes = 100;

// About this and that: what they have in common is no topic.
constexpr const char* kNeutral[] = {
    "The meeting starts at nine.", "How do I sort a list in Python?", "Tell me a joke.", "What is the capital of France?", "Please rewrite this sentence.",
    "My order has not arrived yet.", "The weather is nice today.", "How do I cook rice?", "Explain photosynthesis.", "Summarise this text in two sentences.",
    "Who won the world cup in 1998?", "Translate this into Spanish.", "I would like to book a flight.", "What does this error mean?", "Write a short poem about the sea.",
    "Thank you very much.", "Give me three ideas for a birthday party.", "def add(a, b): return a + b", "Which bus goes to the station?", "The quarterly figures are attached.",
    "How tall is Mount Everest?", "Wie spät ist es?", "Correct the spelling of this e-mail.", "Compare these two phones."};

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }
bool is_gap(char byte) { return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'; }

// The best place to cut at or before `at`, after `from`: behind a space, else between two characters.
std::size_t cut_before(const std::string& text, std::size_t from, std::size_t at) {
  for (auto place = at; place > from; --place)
    if (is_gap(text[place - 1])) return place;
  while (at > from + 1 && !begins_character(text[at])) --at;
  return at;
}

}  // namespace

std::vector<std::string> Topics::sentences(const ReadingOptions& options) {
  std::vector<std::string> sentences(std::begin(kNeutral), std::end(kNeutral));
  for (const auto& topic : options.topics) sentences.insert(sentences.end(), topic.examples.begin(), topic.examples.end());
  return sentences;
}

Result<Topics> Topics::create(const ReadingOptions& options, const std::vector<std::vector<float>>& embeddings) {
  const auto wrong = [] { return fail(ErrorCode::unavailable, "the topics' sentences were not all read", "deploy.guards"); };
  if (embeddings.size() != sentences(options).size() || embeddings.front().empty()) return wrong();
  Topics topics;
  topics.common_.resize(embeddings.front().size());
  for (const auto& embedding : embeddings)
    if (embedding.size() != topics.common_.size()) return wrong();
  for (std::size_t i = 0; i < std::size(kNeutral); ++i)
    for (std::size_t k = 0; k < topics.common_.size(); ++k) topics.common_[k] += embeddings[i][k] / static_cast<float>(std::size(kNeutral));
  auto next = std::size(kNeutral);
  for (const auto& topic : options.topics)
    for (std::size_t i = 0; i < topic.examples.size(); ++i) topics.examples_.push_back({&topic, topics.centred(embeddings[next++])});
  return topics;
}

std::vector<float> Topics::centred(std::span<const float> embedding) const {
  std::vector<float> direction(embedding.begin(), embedding.end());
  for (std::size_t k = 0; k < direction.size(); ++k) direction[k] -= common_[k];
  const auto length = std::sqrt(std::inner_product(direction.begin(), direction.end(), direction.begin(), 0.0));
  for (auto& value : direction) value = static_cast<float>(length > 0 ? static_cast<double>(value) / length : 0);
  return direction;
}

std::vector<Topics::Nearness> Topics::look(std::span<const float> embedding) const {
  std::vector<Nearness> all;
  if (embedding.size() != common_.size()) return all;
  const auto direction = centred(embedding);
  for (const auto& example : examples_) {
    const double cosine = std::inner_product(direction.begin(), direction.end(), example.direction.begin(), 0.0);
    // A topic's examples follow one another.
    if (all.empty() || all.back().topic != example.topic) all.push_back({example.topic, cosine});
    else all.back().cosine = std::max(all.back().cosine, cosine);
  }
  return all;
}

std::vector<std::string> pieces_of(const std::string& text) {
  std::vector<std::string> pieces;
  for (std::size_t begin = 0; begin < text.size();) {
    if (text.size() - begin <= kPieceBytes) {
      pieces.push_back(text.substr(begin));
      return pieces;
    }
    const auto end = cut_before(text, begin + kPieceBytes / 2, begin + kPieceBytes);
    pieces.push_back(text.substr(begin, end - begin));
    begin = cut_before(text, end - 2 * kSharedBytes, end - kSharedBytes);
  }
  return pieces;
}

std::vector<Hit> judge(const ReadingOptions& options, const Topics* topics, const PieceRead& piece) {
  std::vector<Hit> hits;
  if (topics != nullptr)
    for (const auto& [topic, cosine] : topics->look(piece.embedding))
      if (cosine >= topic->threshold) hits.push_back({Direction::input, "topics", topic->name, topic->action});
  if (!options.anomaly || !piece.window_nats || piece.tokens < 2) return hits;
  // Of a piece that is shorter than the window what is missing counts as expected: two rare words are no anomaly.
  const double share = std::min(1.0, static_cast<double>(piece.tokens - 1) / static_cast<double>(options.anomaly->window));
  if (*piece.window_nats * share > std::log(options.anomaly->perplexity_max)) hits.push_back({Direction::input, "anomaly", std::string(kPerplexity), options.anomaly->action});
  return hits;
}

}  // namespace redoubt::guards
