// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/inputs.h"

#include <algorithm>
#include <cstdio>
#include <thread>

#include "engine/data/load_examples.h"
#include "engine/evaluate/answer_batch.h"
#include "engine/model/vocabulary.h"

namespace redoubt::engine::evaluate {

Result<Inputs> load_model(const job::Paths& paths, model::Precision precision) {
  const auto folder = paths.channel("model");
  if (!std::filesystem::is_directory(folder))
    return fail(ErrorCode::not_found, "no model", folder.string(), "give a Hugging Face folder as the channel 'model'");
  Inputs inputs;
  inputs.tokenizer = TRY(tokenizer::Tokenizer::load(folder));
  auto chat = chat_template::ChatTemplate::load(folder);
  if (!chat && chat.error().code != ErrorCode::not_found) return fail(chat.error());
  if (chat) inputs.chat_template = std::move(*chat);
  inputs.base = TRY(model::CausalModel::load(folder, precision));
  TRY(model::check_vocabulary(*inputs.tokenizer, inputs.base->config(), folder));
  return inputs;
}

Result<std::vector<data::Example>> load_channel(const job::Paths& paths, std::string_view channel, const Inputs& inputs,
                                                std::int64_t max_length) {
  const auto file = paths.channel(channel) / (std::string(channel) + ".jsonl");
  const auto context = inputs.base->config().context_length;
  const auto limit = max_length > 0 ? std::min(max_length, context) : context;
  auto examples =
      TRY(data::load_examples(file, *inputs.tokenizer, inputs.chat_template ? &*inputs.chat_template : nullptr, limit));
  TRY(check_examples(examples, inputs.base->config(), file.filename().string()));
  return examples;
}

std::int64_t report_truncated(std::string_view channel, std::span<const data::Example> examples, job::EventWriter& events) {
  const auto count = std::count_if(examples.begin(), examples.end(), [](const auto& example) { return example.truncated; });
  if (count == 0) return 0;
  std::int64_t longest = 0;
  for (const auto& example : examples) longest = std::max<std::int64_t>(longest, std::ssize(example.ids));
  std::fprintf(
      stderr,
      "redoubt-engine: %td of %zu examples of '%.*s' are longer than %td tokens and were cut off there; raise max_length\n",
      count, examples.size(), static_cast<int>(channel.size()), channel.data(), static_cast<std::ptrdiff_t>(longest));
  events.write("truncated",
               {{"channel", channel}, {"truncated", count}, {"examples", examples.size()}, {"max_length", longest}});
  return count;
}

Result<std::optional<model::Adapter>> load_adapter(const job::Paths& paths, const model::Config& config) {
  if (!paths.has_channel("adapter")) return std::optional<model::Adapter>();
  return std::optional<model::Adapter>(TRY(model::Adapter::load(paths.channel("adapter"), config)));
}

void set_threads(std::int64_t threads) {
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency())));
}

}  // namespace redoubt::engine::evaluate
