// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/inputs.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <thread>

#include "engine/data/load_examples.h"
#include "engine/model/vocabulary.h"

namespace redoubt::engine::evaluate {

std::int64_t seconds_now() { return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

Result<Inputs> load_model(const job::Paths& paths, model::Precision precision, model::WeightFormat format) {
  const auto folder = paths.channel("model");
  if (!std::filesystem::is_directory(folder))
    return fail(ErrorCode::not_found, "no model", folder.string(), "give a Hugging Face folder as the channel 'model'");
  Inputs inputs;
  inputs.now = seconds_now();
  // Neither needs the other, and each takes a while of one processor.
  auto tokenizer = std::async(std::launch::async, [&] { return tokenizer::Tokenizer::load(folder); });
  auto base = model::CausalModel::load(folder, precision, format);
  inputs.tokenizer = TRY(tokenizer.get());
  auto chat = chat_template::ChatTemplate::load(folder);
  if (!chat && chat.error().code != ErrorCode::not_found) return fail(chat.error());
  if (chat) inputs.chat_template = std::move(*chat);
  inputs.base = TRY(std::move(base));
  TRY(model::check_vocabulary(*inputs.tokenizer, inputs.base->config(), folder));
  const auto special = TRY(chat_template::read_special_text(folder));
  inputs.end_token = data::end_of_text(*inputs.tokenizer, special.eos_token, inputs.base->config().end_tokens);
  return inputs;
}

Result<data::Examples> load_channel(const job::Paths& paths, std::string_view channel, const Inputs& inputs, const data::DataOptions& options) {
  const auto files = TRY(data::channel_files(paths.channel(channel), channel));
  const auto context = inputs.base->config().context_length;
  const auto length = options.max_length > 0 ? std::min(options.max_length, context) : context;
  return data::load_examples(files, inputs.encoder(),
                             {length, options.loss_on, options.on_too_long, static_cast<std::int32_t>(inputs.base->config().vocabulary), paths.root});
}

void report_cuts(std::string_view channel, const data::Examples& examples, job::EventWriter& events) {
  const auto& counts = examples.counts();
  const int name = static_cast<int>(channel.size());
  if (counts.truncated > 0)
    std::fprintf(stderr, "redoubt-engine: %td of %zu examples of '%.*s' are longer than %td tokens and were cut off there; raise max_length\n",
                 static_cast<std::ptrdiff_t>(counts.truncated), examples.size(), name, channel.data(), static_cast<std::ptrdiff_t>(counts.longest));
  if (counts.dropped > 0)
    std::fprintf(stderr, "redoubt-engine: %td rows of '%.*s' are too long and were left out; raise max_length\n",
                 static_cast<std::ptrdiff_t>(counts.dropped), name, channel.data());
  if (counts.truncated + counts.dropped == 0) return;
  Json event = {{"channel", channel}, {"truncated", counts.truncated}, {"examples", examples.size()}, {"max_length", counts.longest}};
  if (counts.dropped > 0) event["dropped"] = counts.dropped;
  events.write("truncated", event);
}

Result<std::optional<model::Adapter>> load_adapter(const job::Paths& paths, const model::CausalModel& base) {
  if (!paths.has_channel("adapter")) return std::optional<model::Adapter>();
  return std::optional<model::Adapter>(TRY(model::Adapter::load(paths.channel("adapter"), base.config(), &base.weights(), base.digest())));
}

void set_threads(std::int64_t threads) {
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency())));
}

}  // namespace redoubt::engine::evaluate
