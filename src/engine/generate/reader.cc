// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/reader.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace redoubt::engine::generate {
namespace {

std::vector<float> unit_vector(const std::vector<double>& sum) {
  const double length = std::sqrt(std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0));
  std::vector<float> unit(sum.size());
  // The mean has the direction of the sum.
  for (std::size_t i = 0; i < sum.size(); ++i) unit[i] = static_cast<float>(length > 0 ? sum[i] / length : 0);
  return unit;
}

double mean_of(std::span<const float> losses) { return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size()); }

double greatest_mean(std::span<const float> losses, std::size_t window) {
  if (losses.size() <= window) return mean_of(losses);
  double sum = std::accumulate(losses.begin(), losses.begin() + static_cast<std::ptrdiff_t>(window), 0.0), greatest = sum;
  for (std::size_t end = window; end < losses.size(); ++end) {
    sum += static_cast<double>(losses[end]) - static_cast<double>(losses[end - window]);
    greatest = std::max(greatest, sum);
  }
  return greatest / static_cast<double>(window);
}

TextRead result_of(const Text& text, std::size_t index, std::size_t window) {
  TextRead read{index, text.tokens.size(), unit_vector(text.sum), {}, {}};
  if (window == 0 || text.losses.empty()) return read;
  read.nats = mean_of(text.losses);
  read.window_nats = greatest_mean(text.losses, window);
  return read;
}

}  // namespace

Reader::Reader(TextModel& model, Listener& listener, OnText on_text, ReaderOptions options)
    : model_(model), listener_(listener), on_text_(std::move(on_text)), options_(options) {}

Status Reader::check(const ReadRequest& request) const {
  if (std::ranges::any_of(readings_, [&](const auto& reading) { return reading.id == request.id; })) return fail(ErrorCode::already_exists, "a request with this id is running");
  if (request.texts.empty()) return fail(ErrorCode::invalid_argument, "there are no texts", "input");
  if (request.adapter > model_.adapters()) return fail(ErrorCode::invalid_argument, "there is no such adapter", "model");
  for (const auto& tokens : request.texts) {
    if (tokens.empty()) return fail(ErrorCode::invalid_argument, "a text is empty", "input");
    if (std::ranges::any_of(tokens, [&](auto token) { return token < 0 || token >= model_.vocabulary(); }))
      return fail(ErrorCode::invalid_argument, "a token lies outside the model's vocabulary", "input");
    if (std::ssize(tokens) > model_.context_length())
      return fail(ErrorCode::limit_exceeded, "a text of " + std::to_string(tokens.size()) + " tokens does not fit the context of " + std::to_string(model_.context_length()) + " tokens", "",
                  "shorten the text");
  }
  if (readings_.size() >= options_.waiting_max) return fail(ErrorCode::limit_exceeded, "too many requests are waiting", "queue", "try again later");
  return {};
}

Status Reader::submit(ReadRequest request) {
  TRY(check(request));
  Reading reading;
  reading.id = std::move(request.id);
  reading.window = request.window;
  for (auto& tokens : request.texts) {
    reading.tokens += tokens.size();
    reading.texts.push_back({.tokens = std::move(tokens), .adapter = request.adapter, .wants_losses = request.window > 0});
  }
  listener_.started(reading.id, reading.tokens);
  readings_.push_back(std::move(reading));
  return {};
}

void Reader::cancel(std::string_view id) {
  const auto found = std::ranges::find_if(readings_, [&](const auto& reading) { return reading.id == id; });
  if (found == readings_.end()) return;
  if (std::ranges::any_of(found->texts, [&](const auto& text) { return &text == long_text_; })) long_text_ = nullptr;
  const auto reading = std::move(*found);
  readings_.erase(found);
  listener_.done(reading.id, FinishReason::cancelled, {.prompt = reading.tokens_read});
}

// Adds the request's next texts as long as they go together with those taken. False when nothing more may be taken in this step.
bool Reader::take(Reading& reading, std::vector<Text*>& taken, std::size_t& tokens) {
  for (auto i = reading.told; i < reading.texts.size(); ++i) {
    auto& text = reading.texts[i];
    const auto rest = text.tokens.size() - text.read;
    if (text.tokens.size() > options_.tokens_piece) {
      // It goes alone, and not before the one that is under way.
      if (!taken.empty() || (long_text_ != nullptr && long_text_ != &text)) return true;
      long_text_ = &text;
      taken.push_back(&text);
      return false;
    }
    if (!taken.empty() && (tokens + rest > options_.tokens_piece || text.adapter != taken.front()->adapter)) return false;
    tokens += rest;
    taken.push_back(&text);
  }
  return true;
}

std::vector<Text*> Reader::next_texts() {
  std::vector<Text*> taken;
  std::size_t tokens = 0;
  for (auto& reading : readings_) {
    const auto before = taken.size();
    const bool goes_on = take(reading, taken, tokens);
    reading.reads_now = taken.size() > before;
    if (!goes_on) break;
  }
  return taken;
}

void Reader::step() {
  if (readings_.empty()) return;
  const auto texts = next_texts();
  const auto read = model_.read(texts, options_.tokens_piece);
  if (long_text_ != nullptr && (!read ? std::ranges::find(texts, long_text_) != texts.end() : long_text_->read == long_text_->tokens.size())) long_text_ = nullptr;
  for (auto& reading : readings_) {
    if (!std::exchange(reading.reads_now, false)) continue;
    if (read) tell(reading);
    else reading.is_failed = true;
  }
  // Whoever was first goes to the end; who is done goes away, and hears of it when it is gone.
  readings_.splice(readings_.end(), readings_, readings_.begin());
  std::list<Reading> ended;
  for (auto at = readings_.begin(); at != readings_.end();) {
    const auto next = std::next(at);
    if (at->is_failed || at->told == at->texts.size()) ended.splice(ended.end(), readings_, at);
    at = next;
  }
  for (const auto& reading : ended) {
    if (reading.is_failed) listener_.failed(reading.id, read.error());
    else listener_.done(reading.id, FinishReason::stop, {.prompt = reading.tokens});
  }
}

void Reader::tell(Reading& reading) {
  reading.tokens_read = 0;
  for (const auto& text : reading.texts) reading.tokens_read += text.read;
  for (; reading.told < reading.texts.size(); ++reading.told) {
    auto& text = reading.texts[reading.told];
    if (text.read < text.tokens.size()) return;
    on_text_(reading.id, result_of(text, reading.told, reading.window));
  }
}

}  // namespace redoubt::engine::generate
